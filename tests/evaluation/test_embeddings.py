from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, Ranking, evaluate_distances, evaluate_embeddings


def people(seed: int, count: int, length: int = 64) -> Embeddings:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((12, length))
    identities = rng.integers(-1, 10, count)
    features = centres[identities] + 2 * rng.standard_normal((count, length))
    return Embeddings(
        np.maximum(features, 0).astype(np.float32), identities, rng.integers(0, 4, count)
    )


def assert_identical(first: Ranking, second: Ranking) -> None:
    np.testing.assert_array_equal(first.cmc, second.cmc)
    np.testing.assert_array_equal(first.average_precision, second.average_precision)
    assert (first.mAP, first.mINP, first.evaluated) == (second.mAP, second.mINP, second.evaluated)


def test_equals_ranking_the_whole_matrix() -> None:
    query, gallery = people(0, 50), people(1, 300)
    difference = query.features[:, None].astype(np.float64) - gallery.features[None]
    expected = evaluate_distances(
        (difference**2).sum(-1),
        query.identities,
        gallery.identities,
        query.cameras,
        gallery.cameras,
    )
    assert 0.1 < expected.mAP < 0.9
    assert_identical(evaluate_embeddings(query, gallery), expected)


def test_identical_whatever_the_chunk_even_among_duplicates() -> None:
    query, gallery = people(0, 61), people(1, 150)
    twice = Embeddings(
        np.concatenate([gallery.features] * 2),
        np.concatenate([gallery.identities, gallery.identities[::-1]]),
        np.concatenate([gallery.cameras] * 2),
    )
    whole = evaluate_embeddings(query, twice)
    for chunk in (1, 2, 7, 60, 61, 1000):
        assert_identical(evaluate_embeddings(query, twice, chunk), whole)


def test_progress_counts_queries() -> None:
    seen: list[tuple[int, int]] = []
    evaluate_embeddings(
        people(0, 50), people(1, 80), 20, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(20, 50), (40, 50), (50, 50)]


def test_all_junk_is_refused_before_any_distance() -> None:
    gallery = replace(people(1, 30), identities=np.full(30, -1))
    with pytest.raises(UserError, match="none of the 0 gallery images"):
        evaluate_embeddings(people(0, 5), gallery)


def test_single_camera_is_refused() -> None:
    query, gallery = people(0, 20), people(1, 30)
    query = replace(query, cameras=np.zeros(20, int))
    gallery = replace(gallery, cameras=np.zeros(30, int))
    with pytest.raises(UserError, match="same-camera rule removed"):
        evaluate_embeddings(query, gallery)


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        (r"gallery features has shape \(30,\)", {"features": np.ones(30, np.float32)}),
        (r"gallery features has shape \(0, 64\)", {"features": np.ones((0, 64), np.float32)}),
        ("gallery features holds int64", {"features": np.ones((30, 64), np.int64)}),
        ("query features have length 64 and gallery", {"features": np.ones((30, 8), np.float32)}),
        ("gallery features holds inf in row 0", {"features": np.full((30, 64), 1e300)}),
        ("gallery identities has shape", {"identities": np.ones(29, np.int64)}),
        ("gallery cameras holds float64", {"cameras": np.ones(30)}),
    ],
)
def test_misfits_are_refused_by_name(message: str, changed: dict[str, npt.NDArray]) -> None:
    with pytest.raises(UserError, match=message) as caught:
        evaluate_embeddings(people(0, 20), replace(people(1, 30), **changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_row(value: float) -> None:
    query = people(0, 20)
    query.features[[4, 9], 3] = value
    with pytest.raises(UserError, match=f"query features holds {value} in row 4, column 3"):
        evaluate_embeddings(query, people(1, 30))


def test_chunk_zero_is_refused() -> None:
    with pytest.raises(UserError, match="chunk is 0"):
        evaluate_embeddings(people(0, 20), people(1, 30), chunk=0)
