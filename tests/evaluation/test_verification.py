import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.evaluation import Embeddings, roc, streaming
from pmm_jax.evaluation import embeddings as module
from tests.evaluation.people import people


@pytest.mark.parametrize(("chunk", "block"), [(7, 16), (512, 2048)])
def test_equals_sorting_all_pairs(chunk: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "GALLERY_BLOCK", block)
    query, gallery = people(0, 90, 12, 32, 1.2, 40), people(1, 400, 12, 32, 1.2, 40)
    found = roc(query, gallery, chunk)
    distances = cdist(query.features, gallery.features)
    same = query.identities[:, None] == gallery.identities
    match = same & (query.cameras[:, None] != gallery.cameras) & (query.identities >= 0)[:, None]
    other = ~same & (gallery.identities >= 0) & match.any(1)[:, None]
    negatives, positives = np.sort(distances[other]), distances[match]
    assert list(found) == [1e-4, 1e-3, 1e-2]
    for rate, value in found.items():
        threshold = negatives[int(rate * len(negatives))]
        assert value == pytest.approx(np.mean(positives < threshold), abs=2 / len(positives))
    assert 0 < found[1e-4] < found[1e-2] < 1


def test_perfect_embeddings_accept_every_match() -> None:
    identities = np.arange(20) % 5
    features = 10 * np.eye(5, dtype=np.float32)[identities]
    query = Embeddings(features, identities, np.zeros(20, int))
    gallery = Embeddings(features, identities, np.ones(20, int))
    assert set(module.roc(query, gallery).values()) == {1.0}
