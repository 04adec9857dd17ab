import numpy as np
import pytest

from pmm_jax.evaluation import distances
from pmm_jax.evaluation.distances import Grid


def naive(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    difference = query[:, None].astype(np.float64) - gallery[None].astype(np.float64)
    return (difference**2).sum(-1)


def exact(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    grid = Grid(query, gallery)
    return grid.block(query, gallery) * 4.0 ** (grid.exponent - distances.GRID_BITS)


def embeddings(seed: int, count: int, length: int, scale: float = 1.0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)
    return np.maximum(values, 0) * np.float32(scale)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e4, 1e30])
def test_equals_the_sum_of_squared_differences(scale: float) -> None:
    query, gallery = embeddings(0, 7, 96, scale), embeddings(1, 40, 96, scale)
    np.testing.assert_allclose(exact(query, gallery), naive(query, gallery), rtol=2e-7)


def test_small_distances_survive_cancellation() -> None:
    query = embeddings(0, 5, 512, 100)
    nudge = np.random.default_rng(2).standard_normal(query.shape).astype(np.float32)
    gallery = query + np.float32(1e-2) * nudge
    expected = np.diag(naive(query, gallery))
    # Lengths are near 1,600, below 2^11; rounding both embeddings to the grid moves a distance by
    # a sum of 512 differences of two uniform errors, seen along one direction.
    grid = 2.0 ** (11 - 25)
    error = np.sqrt(np.diag(exact(query, gallery))) - np.sqrt(expected)
    assert np.abs(error).max() < 4 * grid / np.sqrt(6)
    squares = (query * query).sum(1)
    float32 = np.diag(squares[:, None] + (gallery * gallery).sum(1) - 2 * (query @ gallery.T))
    assert np.abs(float32 / expected - 1).max() > 0.1  # what this form is for


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_pair_has_one_distance_however_it_is_computed(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, gallery = embeddings(0, 70, 1536), embeddings(1, 133, 1536)
    grid = Grid(query, gallery)
    whole = grid.block(query, gallery)
    monkeypatch.setattr(distances, "BLOCK", size)
    monkeypatch.setattr(distances, "PAIRS", size)
    pieces = [grid.block(query[i : i + 9], gallery) for i in range(0, 70, 9)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    i, j = np.divmod(np.random.default_rng(2).permutation(70 * 133), 133)
    np.testing.assert_array_equal(grid.pairs(query, gallery, i, j), whole[i, j])


@pytest.mark.parametrize("length", [5, 32, 100, 1536])
@pytest.mark.parametrize("scale", [1e-17, 1.0, 1e17])
def test_an_estimate_is_as_far_off_as_it_says_at_most(length: int, scale: float) -> None:
    query, gallery = embeddings(0, 70, length, scale), embeddings(1, 133, length, scale)
    gallery[:35] = query[:35]
    gallery[20:35] *= np.float32(1 + 1e-5)
    grid = Grid(query, gallery)
    i, j = np.divmod(np.arange(70 * 133), 133)
    estimates, error = grid.estimates(query, gallery, i, j)
    whole = grid.block(query, gallery)[i, j]
    assert (np.abs(estimates - whole) <= error).all()
    # Close enough to spare the exact distance: 36 roundings and a grid step a dimension.
    assert (error[whole > whole.mean()] < 1e-5 * whole[whole > whole.mean()]).all()


def test_identical_images_tie_exactly() -> None:
    query, gallery = embeddings(0, 9, 1536), embeddings(1, 101, 1536)
    doubled = exact(query, np.concatenate([gallery, gallery]))
    np.testing.assert_array_equal(doubled[:, :101], doubled[:, 101:])
    assert not np.diag(exact(gallery, gallery)).any()


def test_zeros() -> None:
    zeros = np.zeros((2, 4), np.float32)
    assert not exact(zeros, zeros).any()


@pytest.mark.parametrize("length", [1.0, 0.999, 3e-30, 3e30, 1e-44])
def test_the_exponent_bounds_every_length(length: float) -> None:
    features = np.array([[length, 0], [0, length / 2]], np.float32)
    exponent = Grid(features).exponent
    assert 2.0**exponent / 2 <= features.max() < 2.0**exponent
