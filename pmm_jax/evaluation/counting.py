"""Distances of a block of queries to a block of the gallery, and what lies before each match.

One float32 matrix product decides nearly every pair. Rounding can move such a distance by no more
than a bound that follows from the lengths of the two embeddings (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 3.1), so an image whose distance differs from a match's by more
than the bound is surely before it or surely behind. The few pairs within the bound are marked, for
the caller to settle by the exact distances of distances.py.
"""

from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from pmm_jax.evaluation.market_protocol import JUNK
from pmm_jax.runtime import current_platform, on_cpu

A = TypeVar("A", jax.Array, np.ndarray)

PIECE = 512
"""Embeddings are multiplied so many dimensions at a time: rounding errors grow with the length of
a sum, and a longer one would leave more pairs open."""
AXIS = "gallery"
"""Mesh axis that gallery images are split over."""


class Part(NamedTuple):
    """Embeddings ready to be multiplied: centered, scaled below length 1, cut into pieces."""

    pieces: tuple[jax.Array, ...]
    """Each (N, up to PIECE) float32."""
    squares: jax.Array
    """(N,) float32: squared lengths."""
    identities: jax.Array
    """(N,) int32."""


class Counts(NamedTuple):
    """Counts of a block of the gallery for the matches of its queries."""

    before: jax.Array
    """(devices, M, Q) int32: images of each device's part of the block, of other identities, that
    surely come before each match. Nothing is summed between devices, so that programs of several
    threads can't wait for each other."""
    open: jax.Array
    """(N, Q) bool: pairs of another identity that rounding may put on either side of some match.
    They are in no count."""


@jax.jit
def ready(features: jax.Array, identities: jax.Array) -> Part:
    """Prepare embeddings (N, D) float32, centered and scaled.

    Args:
        features: the embeddings.
        identities: (N,) int32; -1 never counts, however near.
    """
    cuts = range(0, features.shape[1], PIECE)
    pieces = tuple(features[:, start : start + PIECE] for start in cuts)
    squares = sum(jnp.square(piece).sum(1) for piece in pieces)
    return Part(pieces, jnp.asarray(squares), identities)


@partial(jax.jit, static_argnames=("mesh",))
def count(query: Part, gallery: Part, thresholds: jax.Array, mesh: Mesh | None = None) -> Counts:
    """Count what comes before each match.

    Args:
        query: Q queries; no identity of theirs is -1.
        gallery: N images.
        thresholds: (M, Q) float32: each match's squared distance, scaled, minus the squared length
            of the query; -8, below every distance, where a query has fewer than M matches.
        mesh: devices that the gallery is split over, along its one axis.
    """

    def one_device(
        query: Part, gallery: Part, thresholds: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        counts = _count(query, gallery, thresholds)
        return counts.before[None], counts.open

    if mesh is None:
        return Counts(*one_device(query, gallery, thresholds))
    every, split = PartitionSpec(), PartitionSpec(AXIS)
    run = jax.shard_map(
        one_device, mesh=mesh, in_specs=(every, split, every), out_specs=(split, split)
    )
    return Counts(*run(query, gallery, thresholds))


def products(one: Part, other: Part) -> jax.Array:
    """(N, M) float32: dot products of N embeddings with M others."""
    pairs = zip(one.pieces, other.pieces, strict=True)
    pieces = [jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST) for a, b in pairs]
    return sum(pieces[1:], pieces[0])


def unit_roundoff(dtype: npt.DTypeLike = np.float32) -> float:
    """How much one operation of `products` rounds, relative to its result."""
    is_single = dtype == np.float32
    # A TPU makes float32 of pieces of bfloat16, and float64 of float32, a little less exact.
    if current_platform() == "tpu":
        return 2.0**-22 if is_single else 2.0**-44
    return 2.0**-24 if is_single else 2.0**-53


def _count(query: Part, gallery: Part, thresholds: jax.Array) -> Counts:
    # (N, Q): counting runs over the first axis, which is the fast one on a CPU.
    distances = gallery.squares[:, None] - 2 * products(gallery, query)
    error = _rounding(query, gallery)
    # The last term covers the rounding of the threshold itself and of what is done to it here.
    error = error[None] + jnp.abs(thresholds) * 2.0**-21
    low, high = thresholds - error, thresholds + error
    mine, theirs = query.identities[None], gallery.identities[:, None]
    distances = jnp.where((theirs != mine) & (theirs != JUNK), distances, jnp.inf)
    is_open = _within(distances, low, high)
    # Open pairs are in no count: the caller settles them.
    distances = jnp.where(is_open, jnp.inf, distances)
    return Counts(_below(distances, low), is_open)


def squared_distances(one: Part, other: Part) -> jax.Array:
    """(N, M) float32: squared distances of N embeddings to M others, rounded as float32 does."""
    squares = one.squares[:, None] + other.squares[None]
    return jnp.maximum(squares - 2 * products(one, other), 0)


def _within(distances: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """(N, Q) bool: whether a distance lies in any of its query's M intervals."""

    def add(m: int, found: jax.Array) -> jax.Array:
        return found | ((distances >= low[m][None]) & (distances <= high[m][None]))

    return lax.fori_loop(0, len(low), add, jnp.zeros_like(distances, bool))


def _below(distances: jax.Array, limits: jax.Array) -> jax.Array:
    """(M, Q) int32: how many of a query's N distances are below each of its M limits."""
    if not on_cpu():
        return lax.map(lambda limit: (distances < limit[None]).sum(0, dtype=jnp.int32), limits)

    # One image at a time: XLA's reductions on a CPU take up to four times as long.
    def add(before: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
        return before + (row[None] < limits).astype(jnp.int32), None

    return lax.scan(add, jnp.zeros_like(limits, jnp.int32), distances)[0]


def _rounding(query: Part, gallery: Part) -> jax.Array:
    """(Q,): how far a distance, less the query's squared length, may lie from float64's."""
    a, b = jnp.sqrt(query.squares), jnp.sqrt(gallery.squares.max())
    size = sum(piece.shape[1] for piece in query.pieces)
    return error_bound(size, 2 * a * b + b * b, a + b)


def error_bound(size: int, terms: A, both: A, dtype: npt.DTypeLike = np.float32) -> A:
    """How far a distance by `products` of centered embeddings may lie from float64's.

    Args:
        size: length of an embedding.
        terms: sum of the sizes of the distance's terms.
        both: sum of the two embeddings' lengths.
        dtype: of the embeddings.
    """
    unit = unit_roundoff(dtype)
    # Values and products below the type's least are lost.
    lost = size * 2.0 ** (-120 if dtype == np.float32 else -1000)
    # Terms of a sum, additions of pieces, and a few roundings more.
    sums = (min(size, PIECE) + -(-size // PIECE) + 8) * unit * terms
    # Centering rounds each embedding, and so does float32.
    drift = 4 * unit * both + lost
    return 1.01 * (sums + 2 * both * drift + drift * drift) + lost
