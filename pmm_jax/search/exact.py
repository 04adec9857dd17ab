"""The nearest images of a gallery in memory, in exactly the evaluator's order.

A float32 product decides nearly every image. Rounding can move such a distance by no more than a
bound that follows from the lengths of the two embeddings (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 3.1), and what the bound leaves open is settled by the distances
in float64 that every ranking here goes by (evaluation/distances.py). The product is NumPy's: a
first answer waits for no program to be compiled, and the gallery is in memory once.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix
from pmm_jax.evaluation.distances import BLOCK, squared_distance
from pmm_jax.evaluation.expansion import unit_length

Distance = Literal["euclidean", "cosine"]
"""As `RankConfig.distance`."""
VALUES = 1 << 24
"""Products of a block of queries that are held at once, 64 MiB; but of one query."""
LARGEST = 2.0**120
"""Lengths whose product is larger come near float32's limit."""
SETTLED = 2.0**-40
"""What float64 rounds here, of squared lengths, and more."""


class Nearest(NamedTuple):
    """The first images of one query."""

    rows: np.ndarray
    """(k,) int64, nearest first, ties in gallery order."""
    distances: np.ndarray
    """(k,) float64 Euclidean, of unit-length embeddings where the distance is cosine."""


class ExactIndex:
    """A gallery's embeddings, ready to be compared with queries."""

    def __init__(self, features: np.ndarray, distance: Distance) -> None:
        """Measure embeddings (N, D) float32, N at least 1, which are kept as they are.

        Raises:
            UserError: NaN or infinity; with cosine, an embedding of length 0.
        """
        self._features = feature_matrix("gallery features", features)
        self._is_cosine = distance == "cosine"
        self._lengths = _lengths(self._features)
        self._longest = float(self._lengths.max())
        self._half_squares = np.square(self._lengths) / 2
        if self._is_cosine and not self._lengths.all():
            row = int(np.argmin(self._lengths))
            unit_length("gallery", self._features[row : row + 1])  # refuses it
        size = features.shape[1]
        # Products round in any order of adding; so do the lengths, and what is made of them here.
        self._unit = 1.01 * (size + 16) * 2.0**-24
        # Products below float32's least are lost.
        self._lost = size * 2.0**-120

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
        compared = self._compared("query", query)
        lengths = _lengths(query)
        size = max(VALUES // len(self._features), 1)
        for start in range(0, len(query), size):
            some = slice(start, start + size)
            with np.errstate(over="ignore", invalid="ignore"):  # beyond LARGEST
                products = query[some] @ self._features.T
            for number, its in enumerate(products, start):
                low, high = self._bounds(its, float(lengths[number]))
                yield self._first(compared[number], low, high, top, rows)

    def _compared(self, name: str, features: np.ndarray) -> np.ndarray:
        """The embeddings as the evaluator compares them."""
        return unit_length(name, features) if self._is_cosine else features

    def _bounds(self, products: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
        """(N,) float64 each: what is surely not above and not below half the squared distances.

        Both less half the query's squared length, the same for all.

        Args:
            products: (N,) float32 of the query with the gallery.
            length: of the query.
        """
        if length * self._longest > LARGEST:
            return np.full(len(products), -np.inf), np.full(len(products), np.inf)
        if self._is_cosine:
            scale = length * self._lengths
            values = -products / scale
            error = self._unit + self._lost / scale + SETTLED
        else:
            values = self._half_squares - products
            error = self._unit * length * self._lengths
            error += SETTLED * (2 * self._half_squares + length**2) + self._lost
        return values - error, values + error

    def _first(
        self,
        query: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        top: int,
        rows: np.ndarray | None,
    ) -> Nearest:
        if rows is not None:
            low, high = low[rows], high[rows]
        top = min(top, len(low))
        if top < 1:
            return Nearest(np.zeros(0, np.int64), np.zeros(0))
        near = np.flatnonzero(low <= np.partition(high, top - 1)[top - 1])
        near = near if rows is None else rows[near]
        exact = np.concatenate(
            [
                squared_distance(self._compared("gallery", self._features[some]), query)
                for some in np.array_split(near, -(-len(near) // BLOCK))
            ]
        )
        order = np.lexsort((near, exact))[:top]
        return Nearest(near[order], np.sqrt(exact[order]))


def _lengths(features: np.ndarray) -> np.ndarray:
    """(N,) float64."""
    blocks = (features[start : start + BLOCK] for start in range(0, len(features), BLOCK))
    squares = [np.einsum("nd,nd->n", block, block, dtype=np.float64) for block in blocks]
    return np.sqrt(np.concatenate(squares))
