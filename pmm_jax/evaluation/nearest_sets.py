"""The sets of nearest embeddings as float64 has them, whatever platform compares the embeddings.

Re-ranking asks which images are among the k nearest, for a few k. In float32 the images around the
k-th may swap, another way on each platform. Here those whose distances lie within the bound on the
error (see counting.py) are settled by the distance of distances.py, and equal ones by their order.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pmm_jax.evaluation.counting import error_bound
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.neighbors import Neighbors, distance_rows, nearest_among

SPARE = 12
"""Neighbors that are looked for beyond the largest set, so that nearly all are settled by them."""
ROWS = 512
"""Images that are settled at once."""
VALUES = 1 << 24
"""Distances of a few images to all that are held at once: 64 MiB."""


def nearest_sets(
    images: Distances,
    features: np.ndarray,
    sizes: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> Neighbors:
    """The nearest of each image among all of them, itself included.

    Args:
        images: N images and the same again; its distances decide.
        features: (N, D), as `images.prepared` gives them.
        sizes: the first so many neighbors of each image are the right ones, though not in order;
            at most N.
        progress: as of `nearest_among`.

    Returns:
        As many neighbors as the largest size, with the distances of `features`.
    """
    most, count = max(sizes), len(features)
    near = nearest_among(features, min(most + SPARE, count), progress)
    error = _rounding(features)
    is_open = _open(near.distances, sizes, error).any(0)
    # As near as the last of the set may be images that were not looked for.
    is_cut = near.distances[:, -1] <= near.distances[:, most - 1] + 2 * error
    is_cut &= is_open & (near.indices.shape[1] < count)
    distances, indices = near.distances[:, :most].copy(), near.indices[:, :most].copy()
    enough = np.flatnonzero(is_open & ~is_cut)
    for start in range(0, len(enough), ROWS):
        rows = enough[start : start + ROWS]
        some = near.distances[rows], near.indices[rows]
        distances[rows], indices[rows] = _settled(images, rows, *some, sizes, error[rows])
    for row, values, more in _more(features, np.flatnonzero(is_cut), most, error):
        distances[row], indices[row] = _settled(images, row, values, more, sizes, error[row])
    return Neighbors(distances, indices, near.farthest)


def _open(distances: np.ndarray, sizes: Sequence[int], error: np.ndarray) -> np.ndarray:
    """(sizes, N) bool: whether the error may change which images are the first so many.

    Args:
        distances: (N, K) ascending.
        sizes: at most K.
        error: (N,) of each distance; where it is 0, equal ones are in order already.
    """
    result = np.zeros((len(sizes), len(distances)), bool)
    for i, size in enumerate(sizes):
        if size < distances.shape[1]:
            gap = distances[:, size].astype(np.float64) - distances[:, size - 1]
            result[i] = (error > 0) & (gap <= 2 * error)
    return result


def _settled(
    images: Distances,
    rows: np.ndarray,
    distances: np.ndarray,
    indices: np.ndarray,
    sizes: Sequence[int],
    error: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices (R, most) of some rows, from candidates (R, K) in ascending order."""
    unsure = np.zeros(distances.shape, bool)
    for size, is_open in zip(sizes, _open(distances, sizes, error), strict=True):
        # The exact distance of the size-th is off by the error at most, and each image's own is.
        off = np.abs(distances.astype(np.float64) - distances[:, size - 1 : size])
        unsure |= is_open[:, None] & (off <= 2 * error[:, None])
    keys = distances.astype(np.float64)
    row, column = np.nonzero(unsure)
    keys[row, column] = images.pairs(rows[row], indices[row, column]) * 4.0**-images.exponent
    order = np.lexsort((indices, keys))[:, : max(sizes)]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1)


def _more(
    features: np.ndarray, rows: np.ndarray, most: int, error: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Some rows one by one, with all images that may be among the `most` nearest."""
    if not len(rows):
        return
    blocks = distance_rows(features[rows], features, max(1, VALUES // len(features)))
    for row, values in zip(rows, itertools.chain.from_iterable(blocks), strict=True):
        last = np.partition(values, most - 1)[most - 1]
        near = np.flatnonzero(values <= last + 2 * error[row])
        near = near[np.argsort(values[near], kind="stable")]
        yield np.array([row]), values[None, near], near[None]


def _rounding(features: np.ndarray) -> np.ndarray:
    """(N,) float64: how far any distance of each may lie from that of the images."""
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    both = lengths + lengths.max()
    return np.where(both > 0, error_bound(features.shape[1], both**2, both, features.dtype), 0)
