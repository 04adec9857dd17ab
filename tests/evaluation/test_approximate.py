import importlib.util

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import evaluate_embeddings
from pmm_jax.evaluation.approximate import evaluate_approximately, find, recall
from pmm_jax.evaluation.neighbors import nearest
from tests.evaluation.people import people

needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="faiss is not installed (requirements-dev)"
)


QUERY, GALLERY = people(0, 80, 30, 32, 2.5), people(1, 1500, 30, 32, 2.5)


@needs_faiss
def test_an_exact_index_of_full_depth_gives_the_exact_ranking() -> None:
    exact = evaluate_embeddings(QUERY, GALLERY)
    found = evaluate_approximately(QUERY, GALLERY, "Flat", top_n=1500)
    np.testing.assert_allclose(found.cmc, exact.cmc)
    np.testing.assert_allclose(found.average_precision, exact.average_precision)
    np.testing.assert_array_equal(found.first_match, exact.first_match)


@needs_faiss
def test_what_is_not_found_counts_as_never_found() -> None:
    exact = evaluate_embeddings(QUERY, GALLERY)
    found = evaluate_approximately(QUERY, GALLERY, "Flat", top_n=40)
    assert found.mAP < exact.mAP
    assert found.rank1 == exact.rank1
    late = exact.first_match > 40
    assert late.any()
    assert np.isinf(found.first_match[late]).all()
    assert found.average_precision[late].max() < 1e-9


@needs_faiss
def test_recall_grows_with_the_probes() -> None:
    features = QUERY.features, GALLERY.features
    true = nearest(*features, 10).indices
    few, many, every = (recall(find(*features, 10, "IVF32,Flat", n), true) for n in (1, 8, 32))
    assert few < many < every == 1


@needs_faiss
def test_an_index_is_the_same_twice() -> None:
    one, two = (find(QUERY.features, GALLERY.features, 10, "IVF32,Flat", 2) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@needs_faiss
@pytest.mark.parametrize("index", ["IVF9999,Flat", "Nonsense", "IVF16,PQ7"])
def test_an_index_that_cannot_be_made_is_refused_in_one_line(index: str) -> None:
    with pytest.raises(UserError, match=f"can't make an index '{index}'") as caught:
        find(QUERY.features, GALLERY.features, 10, index, 2)
    assert "\n" not in str(caught.value)


def test_without_faiss_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(UserError, match=r'pip install "pmm_jax\[faiss\]"'):
        find(QUERY.features, GALLERY.features, 10, "Flat", 1)
