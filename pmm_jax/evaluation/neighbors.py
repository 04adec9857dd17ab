"""The nearest embeddings of each embedding, without the full matrix of distances."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pmm_jax.evaluation.counting import Part, ready, squared_distances

BLOCK = 2048
"""Embeddings that are compared with as many others at once."""


class Neighbors(NamedTuple):
    """The k nearest of each of N embeddings, nearest first, ties in the others' order."""

    distances: np.ndarray
    """(N, k) squared Euclidean."""
    indices: np.ndarray
    """(N, k) int32."""
    farthest: np.ndarray
    """(N,) squared distance of the farthest of all."""


class _Best(NamedTuple):
    distances: jax.Array
    indices: jax.Array
    farthest: jax.Array


def nearest(one: np.ndarray, other: np.ndarray, k: int) -> Neighbors:
    """The k nearest of `other` for each of `one`.

    In float32, neighbors whose distances agree to about 1e-6 of the longest embedding's square may
    swap; in float64, to about 1e-14.

    Args:
        one: (N, D) float32 or float64, as `Distances.prepared` gives them.
        other: (M, D) likewise, of the same type.
        k: at most M.
    """
    with _precision(other):
        query_blocks = list(_blocks(one, k))
        best = [_nothing(len(part.squares), k) for _, part, _ in query_blocks]
        for first, gallery, _ in _blocks(other, k):
            for i, (_, part, _) in enumerate(query_blocks):
                best[i] = _closer(best[i], part, gallery, first)
            jax.block_until_ready(best)  # so that one block of the others is held at a time
    return _joined([_cut(b, count) for b, (_, _, count) in zip(best, query_blocks, strict=True)])


def nearest_among(
    features: np.ndarray, k: int, progress: Callable[[int, int], None] | None = None
) -> Neighbors:
    """The k nearest of each embedding among all of them, itself included.

    Each distance is computed once, and serves both of its ends.

    Args:
        features: (N, D) float32 or float64, as `Distances.prepared` gives them.
        k: at most N.
        progress: called with (pairs of blocks done, all of them).
    """
    with _precision(features):
        blocks = list(_blocks(features, k))
        best = [_nothing(len(part.squares), k) for _, part, _ in blocks]
    done, total = 0, len(blocks) * (len(blocks) + 1) // 2

    def compare(i: int, j: int) -> tuple[_Best, _Best]:
        (first, one, _), (others_first, other, _) = blocks[i], blocks[j]
        with _precision(features):
            return jax.block_until_ready(_both_nearest(one, other, first, others_first, k))

    # On few cores, one thread's product fills the time in which the other one selects.
    with ThreadPoolExecutor(2) as pool:
        for i in range(len(blocks)):
            # From the first block on, so that ties keep their order.
            compared = [pool.submit(compare, i, j) for j in range(i + 1)]
            for j, pair in enumerate(compared):
                mine, theirs = pair.result()
                with _precision(features):
                    best[i] = _merged(best[i], mine)
                    if j < i:
                        best[j] = _merged(best[j], theirs)
                done += 1
                if progress is not None:
                    progress(done, total)
    return _joined([_cut(b, count) for b, (_, _, count) in zip(best, blocks, strict=True)])


def distance_rows(one: np.ndarray, other: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """Squared distances (a few, M) of each of `one` to all of `other`, in order.

    Args:
        one: (N, D) float32 or float64, as `Distances.prepared` gives them.
        other: (M, D) likewise, of the same type.
        rows: how many of `one` at a time, at most.
    """
    with _precision(other):
        blocks = list(_blocks(other, 1))
    size = min(rows, BLOCK)
    for start in range(0, len(one), size):
        result = np.empty((len(one[start : start + size]), len(other)), other.dtype)
        with _precision(other):
            for _, part, count in _blocks(one[start : start + size], 1):
                for first, gallery, real in blocks:
                    block = np.asarray(_distances(part, gallery))
                    result[:, first : first + real] = block[:count, :real]
        yield result


_distances = jax.jit(squared_distances)


def _precision(features: np.ndarray) -> AbstractContextManager[None]:
    """Context manager: jax computes in the embeddings' own type."""
    return jax.enable_x64(features.dtype == np.float64)


def _blocks(features: np.ndarray, k: int) -> Iterator[tuple[int, Part, int]]:
    """Index of the first, the embeddings padded to one size, and how many of them are real.

    Blocks hold at most BLOCK embeddings, or k if that is more.
    """
    size = max(min(BLOCK, len(features)), k)
    for first in range(0, len(features), size):
        rows = features[first : first + size]
        count = len(rows)
        if count < size:
            rows = np.pad(rows, ((0, size - count), (0, 0)))
        real = np.where(np.arange(size) < count, 0, -1).astype(np.int32)
        yield first, ready(rows, real), count


def _nothing(rows: int, k: int) -> _Best:
    return _Best(jnp.full((rows, k), jnp.inf), jnp.zeros((rows, k), jnp.int32), jnp.zeros((rows,)))


@jax.jit
def _closer(best: _Best, one: Part, other: Part, first: int) -> _Best:
    k = best.distances.shape[1]
    return _merged(best, _selected(squared_distances(one, other), other, first, k))


@partial(jax.jit, static_argnames="k")
def _both_nearest(
    one: Part, other: Part, first: int, others_first: int, k: int
) -> tuple[_Best, _Best]:
    """The k nearest of each in `other`, and of each of `other` in `one`."""
    distances = squared_distances(one, other)
    return _selected(distances, other, others_first, k), _selected(distances.T, one, first, k)


def _selected(distances: jax.Array, other: Part, first: jax.Array | int, k: int) -> _Best:
    real = (other.identities >= 0)[None]
    near, index = lax.top_k(jnp.where(real, -distances, -jnp.inf), k)
    return _Best(-near, index + first, jnp.where(real, distances, 0).max(1))


@jax.jit
def _merged(one: _Best, other: _Best) -> _Best:
    # Of equal values top_k keeps the order, in which earlier blocks come first.
    both = jnp.concatenate([one.distances, other.distances], axis=1)
    indices = jnp.concatenate([one.indices, other.indices], axis=1)
    near, at = lax.top_k(-both, one.distances.shape[1])
    farthest = jnp.maximum(one.farthest, other.farthest)
    return _Best(-near, jnp.take_along_axis(indices, at, axis=1), farthest)


def _cut(best: _Best, count: int) -> Neighbors:
    return Neighbors(*(np.asarray(value)[:count] for value in best))


def _joined(parts: list[Neighbors]) -> Neighbors:
    return Neighbors(*(np.concatenate(values) for values in zip(*parts, strict=True)))
