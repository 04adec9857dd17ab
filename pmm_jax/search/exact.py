"""The nearest images of a gallery in memory, in exactly the evaluator's order.

As in evaluation/counting.py, a float32 product decides nearly every image, and those that its
rounding leaves open are settled by the distances in float64 that every ranking here goes by.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax
import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix
from pmm_jax.evaluation.counting import Part, products, ready, rounding
from pmm_jax.evaluation.distances import BLOCK, center_of, squared_distance
from pmm_jax.evaluation.expansion import unit_length

Distance = Literal["euclidean", "cosine"]
"""As `RankConfig.distance`."""
VALUES = 1 << 24
"""Distances of a block of queries that are held at once, 64 MiB; but of one query."""
MOST_QUERIES = 64
"""Queries that are compared at once."""


class Nearest(NamedTuple):
    """The first images of one query."""

    rows: np.ndarray
    """(k,) int64, nearest first, ties in gallery order."""
    distances: np.ndarray
    """(k,) float64 Euclidean, of unit-length embeddings where the distance is cosine."""


class ExactIndex:
    """A gallery's embeddings, ready to be compared with queries."""

    def __init__(self, features: np.ndarray, distance: Distance) -> None:
        """Prepare embeddings (N, D) float32, N at least 1.

        Raises:
            UserError: NaN or infinity; with cosine, an embedding of length 0.
        """
        self._features = feature_matrix("gallery features", features)
        self._distance: Distance = distance
        sample = self._features[:: -(-len(features) // BLOCK)]
        self._center = center_of(self._compared("gallery", sample))
        longest = max(float(np.abs(block).max()) for _, block in self._blocks()) or 1.0
        # Scaled so, they are of length 2 at most, and lose little to float32's least.
        self._exponent = int(np.frexp(longest)[1]) + (features.shape[1] - 1).bit_length() // 2
        scaled = np.empty_like(self._features, np.float32)
        for some, block in self._blocks():
            scaled[some] = self._scaled(block)
        self._part = ready(scaled, np.zeros(len(scaled), np.int32))

    def nearest(
        self, query: np.ndarray, top: int, rows: np.ndarray | None = None
    ) -> Iterator[Nearest]:
        """The first images of each query.

        Args:
            query: (Q, D) float32.
            top: how many; fewer where there are fewer.
            rows: (M,) ascending indices of the images to rank; all by default.

        Raises:
            UserError: as of the gallery's; another length.
        """
        query = feature_matrix("query features", query)
        if query.shape[1] != self._features.shape[1]:
            raise UserError(
                f"query features have length {query.shape[1]} and gallery features "
                f"{self._features.shape[1]}; embed both with the same model"
            )
        query = self._compared("query", query)
        size = max(min(MOST_QUERIES, VALUES // len(self._features)), 1)
        for start in range(0, len(query), size):
            some = query[start : start + size]
            values, error = self._estimates(some)
            for one, its_values, its_error in zip(some, values, error, strict=False):
                yield self._first(one, its_values, its_error, top, rows)

    def _compared(self, name: str, features: np.ndarray) -> np.ndarray:
        """The embeddings as the evaluator compares them."""
        return unit_length(name, features) if self._distance == "cosine" else features

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The gallery from its center, in float64."""
        for start in range(0, len(self._features), BLOCK):
            some = slice(start, start + BLOCK)
            block = self._compared("gallery", self._features[some])
            yield some, block.astype(np.float64) - self._center

    def _scaled(self, centered: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # of a query far longer than the gallery's
            return np.ldexp(centered, -self._exponent).astype(np.float32)

    def _estimates(self, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(Q or more, N) scaled distances less the query's squared length, and (Q,) their error."""
        # Powers of two, so that few shapes are compiled.
        size = 1 << (len(query) - 1).bit_length()
        scaled = self._scaled(query.astype(np.float64) - self._center)
        scaled = np.pad(scaled, ((0, size - len(scaled)), (0, 0)))
        values, error = _compare(ready(scaled, np.zeros(size, np.int32)), self._part)
        return np.asarray(values), np.asarray(error)

    def _first(
        self,
        query: np.ndarray,
        values: np.ndarray,
        error: np.floating,
        top: int,
        rows: np.ndarray | None,
    ) -> Nearest:
        values = values if rows is None else values[rows]
        top = min(top, len(values))
        if top < 1:
            return Nearest(np.zeros(0, np.int64), np.zeros(0))
        limit = np.partition(values, top - 1)[top - 1] + 2 * error
        # NaN, where a query is too long for float32, leaves every image open.
        near = np.flatnonzero(~(values > np.nextafter(limit, np.float32(np.inf))))
        near = near if rows is None else rows[near]
        exact = squared_distance(self._compared("gallery", self._features[near]), query)
        order = np.lexsort((near, exact))[:top]
        return Nearest(near[order], np.sqrt(exact[order]))


@jax.jit
def _compare(query: Part, gallery: Part) -> tuple[jax.Array, jax.Array]:
    return gallery.squares[None] - 2 * products(query, gallery), rounding(query, gallery)
