import numpy as np
import pytest

from pmm_jax.evaluation.distances import squared_distances


def naive(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    difference = query[:, None].astype(np.float64) - gallery[None].astype(np.float64)
    return (difference**2).sum(-1)


def pieced(query: np.ndarray, gallery: np.ndarray, chunk: int) -> np.ndarray:
    return np.concatenate(list(squared_distances(query, gallery, chunk)))


def embeddings(seed: int, count: int, length: int, scale: float = 1.0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)
    return np.maximum(values, 0) * np.float32(scale)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e4, 1e30])
def test_equals_the_sum_of_squared_differences(scale: float) -> None:
    query, gallery = embeddings(0, 7, 96, scale), embeddings(1, 40, 96, scale)
    np.testing.assert_allclose(pieced(query, gallery, 3), naive(query, gallery), rtol=2e-7)


def test_small_distances_survive_cancellation() -> None:
    query = embeddings(0, 5, 512, 100)
    nudge = np.random.default_rng(2).standard_normal(query.shape).astype(np.float32)
    gallery = query + np.float32(1e-2) * nudge
    expected = np.diag(naive(query, gallery))
    # Lengths are near 1,600, below 2^11; rounding both embeddings to the grid moves a distance by
    # a sum of 512 differences of two uniform errors, seen along one direction.
    grid = 2.0 ** (11 - 25)
    error = np.sqrt(np.diag(pieced(query, gallery, 2))) - np.sqrt(expected)
    assert np.abs(error).max() < 4 * grid / np.sqrt(6)
    squares = (query * query).sum(1)
    float32 = np.diag(squares[:, None] + (gallery * gallery).sum(1) - 2 * (query @ gallery.T))
    assert np.abs(float32 / expected - 1).max() > 0.1  # what this form is for


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 256, 1000])
def test_not_one_bit_depends_on_the_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = embeddings(0, 70, 1536), embeddings(1, 133, 1536)
    whole = pieced(query, gallery, 70)
    monkeypatch.setattr("pmm_jax.evaluation.distances.GALLERY_BLOCK", 20 + chunk)
    np.testing.assert_array_equal(pieced(query, gallery, chunk), whole)


def test_identical_images_tie_exactly() -> None:
    query, gallery = embeddings(0, 9, 1536), embeddings(1, 101, 1536)
    doubled = pieced(query, np.concatenate([gallery, gallery]), 4)
    np.testing.assert_array_equal(doubled[:, :101], doubled[:, 101:])
    assert not np.diag(pieced(gallery, gallery, 10)).any()


def test_zeros() -> None:
    zeros = np.zeros((2, 4), np.float32)
    assert not pieced(zeros, zeros, 1).any()
