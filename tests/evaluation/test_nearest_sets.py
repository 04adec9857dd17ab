import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.evaluation import nearest_sets as module
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.nearest_sets import nearest_sets
from pmm_jax.evaluation.neighbors import nearest_among

SIZES = 2, 5, 9


def tight_groups(seed: int, groups: int, each: int, spread: float) -> np.ndarray:
    """Images whose distances within a group are below float32's rounding."""
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.standard_normal((groups, 24)), each, axis=0)
    return rng.permutation(centers + spread * rng.standard_normal(centers.shape))


def sets(indices: np.ndarray, size: int) -> np.ndarray:
    return np.sort(indices[:, :size], axis=1)


@pytest.mark.parametrize(
    ("spare", "each", "spread", "dtype"),
    [(1, 4, 1e-4, np.float32), (12, 4, 1e-4, np.float32), (1, 30, 1e-9, np.float64)],
)
def test_sets_are_those_of_exact_distances(
    spare: int, each: int, spread: float, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE", spare)
    monkeypatch.setattr(module, "ROWS", 7)
    monkeypatch.setattr(module, "VALUES", 500)
    images: np.ndarray = tight_groups(0, 120 // each, each, spread).astype(dtype)
    images[50] = images[3]  # a tie, in order
    both = Distances(images, images)
    features = both.prepared()[0]
    assert features.dtype == dtype
    found = nearest_sets(both, features, SIZES)
    assert found.indices.shape == found.distances.shape == (len(images), 9)
    exact = cdist(images.astype(float), images.astype(float), "sqeuclidean")
    order = np.argsort(exact, axis=1, kind="stable")
    rounded = nearest_among(features, 9).indices
    for size in SIZES:
        np.testing.assert_array_equal(sets(found.indices, size), sets(order, size))
    assert any((sets(rounded, size) != sets(order, size)).any() for size in SIZES)


def test_images_that_are_all_one_point_keep_their_order() -> None:
    images = np.ones((40, 4), np.float32)
    both = Distances(images, images)
    found = nearest_sets(both, both.prepared()[0], (2, 5))
    np.testing.assert_array_equal(found.indices, np.tile(np.arange(5), (40, 1)))
