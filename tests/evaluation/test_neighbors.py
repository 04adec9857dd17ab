import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.evaluation import neighbors
from pmm_jax.evaluation.neighbors import Neighbors, nearest, nearest_among


def embeddings(seed: int, count: int, length: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)


def assert_nearest(found: Neighbors, one: np.ndarray, other: np.ndarray, k: int) -> None:
    squares = cdist(one, other, "sqeuclidean")
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_allclose(
        found.distances, np.take_along_axis(squares, order, 1), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(found.farthest, squares.max(1), rtol=1e-5)


@pytest.mark.parametrize("block", [3, 16, 1000])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_equals_a_full_sort(block: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "BLOCK", block)
    one, other = embeddings(0, 25), embeddings(1, 40)
    assert_nearest(nearest(one, other, k), one, other, k)


@pytest.mark.parametrize("block", [3, 16, 1000])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_among_themselves(block: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "BLOCK", block)
    features = embeddings(0, 40)
    assert_nearest(nearest_among(features, k), features, features, k)


@pytest.mark.parametrize("block", [4, 1000])
def test_ties_keep_the_order(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "BLOCK", block)
    features = np.tile(np.array([[1, 2], [3, 4], [50, 60]], np.float32), (5, 1))
    found = nearest(features[:3], features, 7)
    assert found.indices[0].tolist() == [0, 3, 6, 9, 12, 1, 4]
    assert found.indices[2].tolist() == [2, 5, 8, 11, 14, 1, 4]
    among = nearest_among(features, 5)
    assert among.indices[7].tolist() == [1, 4, 7, 10, 13]


def test_progress_counts_pairs_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "BLOCK", 10)
    seen: list[tuple[int, int]] = []
    nearest_among(embeddings(0, 25), 3, lambda *done: seen.append(done))
    assert seen == [(i, 6) for i in range(1, 7)]
