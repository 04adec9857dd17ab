"""Re-ranking by k-reciprocal neighbors on an accelerator: reranking.py's figures, jitted.

A row of weights is padded to the width of the longest one, members ascending: every shape is fixed,
and memory grows with N k. Images are compared in blocks. Each sum has one order, so that a run
repeats to the last bit.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pmm_jax.evaluation.counting import Part, ready, squared_distances
from pmm_jax.evaluation.neighbors import Neighbors

ROWS = 512
"""Images whose sets are made at once."""
VALUES = 1 << 24
"""Values of the largest arrays of a block: 64 MiB each."""
WIDTH = 16
"""Rows are as wide as a multiple of so many members, so that few shapes are compiled."""


class SparseRows(NamedTuple):
    """Weights of each image's set."""

    members: jax.Array
    """(N, W) int32, ascending; places that are left have member N."""
    weights: jax.Array
    """(N, W) float32; 0 in places that are left."""


def device_rows(
    features: np.ndarray, near: Neighbors, queries: int, k2: int, weight: float
) -> Iterator[np.ndarray]:
    """Each query's distances to the gallery after re-ranking, by the default device.

    Args:
        features: (N, D) float32, queries first, as `Distances.prepared` gives them.
        near: the k1 + 1 nearest of each.
        queries: how many of them are queries.
        k2: as of `reranked_rows`.
        weight: likewise.

    Yields:
        (G,) float32.
    """
    images, indices, farthest = jax.device_put((features, near.indices, near.farthest))
    members = expanded_members(indices)
    members = members[:, : _width(members)]
    sets = SparseRows(members, weights(images, farthest, members))
    if k2 > 1:
        sets = averaged(indices[:, :k2], sets)
        width = _width(sets.members)
        sets = SparseRows(sets.members[:, :width], sets.weights[:, :width])
    query, gallery = (
        ready(some, np.zeros(len(some), np.int32)) for some in (images[:queries], images[queries:])
    )
    theirs = jax.tree.map(lambda rows: rows[queries:].T, sets)
    size = max(1, min(VALUES // len(features), queries))
    before: tuple[int, jax.Array] | None = None
    for start in range(0, queries, size):
        # The last block begins earlier than where the one before it ends: all have one shape.
        first = min(start, queries - size)
        block = reranked_block(first, query, gallery, farthest, sets, theirs, size, weight)
        # The host takes a block's rows while the device computes the next.
        if before is not None:
            yield from np.asarray(before[1])[before[0] :]
        before = start - first, block
    if before is not None:
        yield from np.asarray(before[1])[before[0] :]


def half_size(k1: int) -> int:
    """Neighbors, the image itself among them, of which a member's own set is made."""
    return round(k1 / 2) + 1  # Python rounds halves to even, as the published code does


@jax.jit
def expanded_members(indices: jax.Array) -> jax.Array:
    """(N, W) int32: each image's k-reciprocal set, expanded, as `SparseRows.members` has it.

    W is the largest size that a set may have.

    Args:
        indices: (N, k1 + 1) int32 nearest neighbors, the image itself among them.
    """
    count, half = len(indices), indices[:, : half_size(indices.shape[1] - 1)]

    def one(image: jax.Array) -> jax.Array:
        mine, is_mutual = _mutual(indices, image)
        theirs, is_theirs = jax.vmap(partial(_mutual, half))(mine)
        known = jnp.where(is_mutual, mine, -1)
        shared = ((theirs[..., None] == known[None, None]).any(-1) & is_theirs).sum(-1)
        joins = is_mutual & (3 * shared > 2 * is_theirs.sum(-1))
        added = jnp.where(joins[:, None] & is_theirs, theirs, count)
        members = jnp.sort(jnp.append(jnp.where(is_mutual, mine, count), added))
        return jnp.sort(jnp.where(_is_first(members), members, count))

    return lax.map(one, jnp.arange(count), batch_size=ROWS)


@jax.jit
def weights(images: jax.Array, farthest: jax.Array, members: jax.Array) -> jax.Array:
    """(N, W) float32: exp(-distance), over that of the farthest image; they sum to 1 a row.

    Args:
        images: (N, D) float32.
        farthest: (N,) float32 squared distances.
        members: as of `SparseRows`.
    """
    count, (width, size) = len(images), (members.shape[1], images.shape[1])

    def one(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        image, most, mine = row
        squares = jnp.square(images[jnp.minimum(mine, count - 1)] - image[None]).sum(-1)
        values = jnp.where(mine < count, jnp.exp(-squares / most), 0)
        total = values.sum()
        return values / jnp.where(total > 0, total, 1)

    batch_size = max(1, VALUES // (width * size))
    return lax.map(one, (images, farthest, members), batch_size=batch_size)


@jax.jit
def averaged(indices: jax.Array, sets: SparseRows) -> SparseRows:
    """The mean of the rows of each image's nearest, k times as wide (local query expansion).

    Args:
        indices: (N, k) int32.
        sets: of N images.
    """
    count, k = indices.shape

    def one(nearest: jax.Array) -> tuple[jax.Array, jax.Array]:
        members, values = lax.sort([rows[nearest].ravel() for rows in sets], num_keys=1)
        # A member has at most k values, side by side: the first place takes them all.
        total = values
        for shift in range(1, k):
            is_same = members[shift:] == members[:-shift]
            total = total + jnp.pad(jnp.where(is_same, values[shift:], 0), (0, shift))
        is_kept = _is_first(members) & (members < count)
        members = jnp.where(is_kept, members, count)
        total = jnp.where(is_kept, total / k, 0)
        members, total = lax.sort([members, total], num_keys=1)
        return members, total

    return SparseRows(*lax.map(one, indices, batch_size=ROWS))


@partial(jax.jit, static_argnames=("size", "weight"))
def reranked_block(  # noqa: PLR0913
    first: jax.Array | int,
    query: Part,
    gallery: Part,
    farthest: jax.Array,
    sets: SparseRows,
    theirs: SparseRows,
    size: int,
    weight: float,
) -> jax.Array:
    """(size, G) float32: rows of some queries after re-ranking.

    Args:
        first: index of the first query.
        query: all of them.
        gallery: G images.
        farthest: (N,) float32 squared distances.
        sets: of all N images, queries first.
        theirs: the gallery's, transposed: (W, G).
        size: queries in the block.
        weight: of the original distance.
    """

    def some(array: jax.Array) -> jax.Array:
        return lax.dynamic_slice_in_dim(array, first, size)

    members, values = jax.tree.map(some, sets)
    columns = jnp.broadcast_to(jnp.arange(size)[:, None], members.shape)
    # Places that are left all write 0 into the last row.
    dense = jnp.zeros((len(farthest) + 1, size)).at[members, columns].set(values)

    def add(shared: jax.Array, column: SparseRows) -> tuple[jax.Array, None]:
        smaller = jnp.minimum(dense[column.members], column.weights[:, None])
        return shared + smaller, None

    shared, _ = lax.scan(add, jnp.zeros((theirs.members.shape[1], size)), theirs)
    distances = squared_distances(jax.tree.map(some, query), gallery)
    original = distances * (weight / some(farthest))[:, None]
    return original + (1 - weight) * (1 - shared / (2 - shared)).T


def _mutual(indices: jax.Array, image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(k,) the image's neighbors, and whether it is among theirs, too."""
    mine = indices[image]
    return mine, (indices[mine] == image).any(1)


def _is_first(members: jax.Array) -> jax.Array:
    """Whether each of ascending members differs from the one before it."""
    return jnp.append(True, members[1:] != members[:-1])


def _width(members: jax.Array) -> int:
    """The longest row's members, rounded up."""
    most = int((members < len(members)).sum(1).max())
    return -(-most // WIDTH) * WIDTH
