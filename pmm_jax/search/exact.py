"""The nearest images of a gallery in memory, in exactly the evaluator's order.

A float32 product decides nearly every image. Rounding can move such a distance by no more than a
bound that follows from the lengths of the two embeddings (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 3.1), and what the bound leaves open is settled by the distances
in float64 that every ranking here goes by (evaluation/distances.py). The product is NumPy's: a
first answer waits for no program to be compiled, and the gallery is in memory once.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix
from pmm_jax.evaluation.distances import BLOCK, squared_distance
from pmm_jax.evaluation.expansion import unit_length

if TYPE_CHECKING:
    from pmm_jax.search.codes import Codes

Distance = Literal["euclidean", "cosine"]
"""As `RankConfig.distance`."""
VALUES = 1 << 24
"""Products of a block of queries that are held at once, 64 MiB; but of one query."""
LARGE = 100_000
"""Images from which on many searches are worth eight bits a value more (codes.py)."""
FEW_QUERIES = 8
"""Queries up to which these are faster than one product for all (measured)."""
FEW_IMAGES = 0.2
"""Fraction of the gallery up to which copying some images is faster than multiplying all."""
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
        self._codes: Codes | None = None
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
        by_codes = self._codes is not None and len(query) <= FEW_QUERIES
        size = 1 if by_codes else max(VALUES // len(self._features), 1)
        for start in range(0, len(query), size):
            some, images = query[start : start + size], rows
            if by_codes:
                near = self._near(compared[start], top, rows)
                images = rows if near is None else near
            for number, products in enumerate(self._products(some, images), start):
                yield self._first(compared[number], float(lengths[number]), products, images, top)

    def prepare(self) -> None:
        """Get ready for many searches, where FAISS is installed: by eight bits a value more."""
        if self._codes is None and len(self._features) >= LARGE and find_spec("faiss"):
            # Only now: FAISS takes its time to import, and large galleries alone need it.
            from pmm_jax.search.codes import Codes

            self._codes = Codes(self._features, self._lengths if self._is_cosine else None)

    def _near(self, query: np.ndarray, top: int, rows: np.ndarray | None) -> np.ndarray | None:
        """Images among which the nearest are; None where codes don't tell them apart."""
        assert self._codes is not None
        if rows is None:
            return self._codes.near(query, min(top, len(self._features)))
        if not len(rows):
            return rows
        is_ranked = np.zeros(len(self._features), bool)
        is_ranked[rows] = True
        return self._codes.near(query, min(top, len(rows)), is_ranked)

    def _compared(self, name: str, features: np.ndarray) -> np.ndarray:
        """The embeddings as the evaluator compares them."""
        return unit_length(name, features) if self._is_cosine else features

    def _products(self, query: np.ndarray, images: np.ndarray | None) -> np.ndarray:
        """(Q, M) float32 of queries with some images, or all."""
        with np.errstate(over="ignore", invalid="ignore"):  # beyond LARGEST
            if images is None:
                return query @ self._features.T
            if len(images) < len(self._features) * FEW_IMAGES:
                return query @ self._features[images].T
            return (query @ self._features.T)[:, images]

    def _first(
        self,
        query: np.ndarray,
        length: float,
        products: np.ndarray,
        rows: np.ndarray | None,
        top: int,
    ) -> Nearest:
        """The first images of a query, by its (M,) float32 products with the images to rank."""
        low, high = self._bounds(products, length, slice(None) if rows is None else rows)
        near = np.arange(len(low))
        if top < len(low):
            near = np.flatnonzero(low <= np.partition(high, top - 1)[top - 1])
        return self._settled(query, near if rows is None else rows[near], top)

    def _bounds(
        self, products: np.ndarray, length: float, images: slice | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(M,) float64 each: what is surely not above and not below half the squared distances.

        Both less half the query's squared length, the same for all.

        Args:
            products: (M,) float32 of the query with images of the gallery.
            length: of the query.
            images: which.
        """
        if length * self._longest > LARGEST:
            return np.full(len(products), -np.inf), np.full(len(products), np.inf)
        lengths, half_squares = self._lengths[images], self._half_squares[images]
        if self._is_cosine:
            scale = length * lengths
            values = -products / scale
            error = self._unit + self._lost / scale + SETTLED
        else:
            values = half_squares - products
            error = self._unit * length * lengths
            error += SETTLED * (2 * half_squares + length**2) + self._lost
        return values - error, values + error

    def _settled(self, query: np.ndarray, near: np.ndarray, top: int) -> Nearest:
        """The first of some images, (N,) ascending, by the distances that decide."""
        exact = np.empty(len(near))
        for start in range(0, len(near), BLOCK):
            some = slice(start, start + BLOCK)
            compared = self._compared("gallery", self._features[near[some]])
            exact[some] = squared_distance(compared, query)
        order = np.lexsort((near, exact))[:top]
        return Nearest(near[order], np.sqrt(exact[order]))


def _lengths(features: np.ndarray) -> np.ndarray:
    """(N,) float64."""
    blocks = (features[start : start + BLOCK] for start in range(0, len(features), BLOCK))
    squares = [np.einsum("nd,nd->n", block, block, dtype=np.float64) for block in blocks]
    return np.sqrt(np.concatenate(squares))
