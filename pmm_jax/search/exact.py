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
        size = max(VALUES // len(self._features), 1)
        for start in range(0, len(query), size):
            some = slice(start, start + size)
            estimates = self._estimates(query[some], lengths[some])
            for number, (products, error) in enumerate(zip(*estimates, strict=True), start):
                one, length = query[number], float(lengths[number])
                if rows is not None:
                    products, error = products[rows], error[rows]
                images = self._near(products, error, length, rows, top)
                if self._codes is not None:
                    products = self._multiplied(one[None], self._features[images])[0]
                    images = self._near(products, self._error(length, images), length, images, top)
                yield self._settled(compared[number], images, top)

    def prepare(self) -> None:
        """Get ready for many searches, where onnxruntime is there: by eight bits a value more."""
        is_there = all(find_spec(name) for name in ("onnx", "onnxruntime"))
        if self._codes is None and len(self._features) >= LARGE and is_there:
            # Only now: it takes its time to import, and large galleries alone need it.
            from pmm_jax.search.codes import Codes

            self._codes = Codes(self._features)

    def _estimates(self, query: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(Q, N) products of queries with the gallery, and how far off each may be."""
        if self._codes is not None:
            return self._codes.products(query)
        errors = [self._error(float(length), slice(None)) for length in lengths]
        return self._multiplied(query, self._features), np.stack(errors)

    def _multiplied(self, query: np.ndarray, features: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # beyond LARGEST
            return query @ features.T

    def _error(self, length: float, images: np.ndarray | slice) -> np.ndarray:
        """(M,) how far off float32 products may be."""
        return self._unit * length * self._lengths[images] + self._lost

    def _compared(self, name: str, features: np.ndarray) -> np.ndarray:
        """The embeddings as the evaluator compares them."""
        return unit_length(name, features) if self._is_cosine else features

    def _near(
        self,
        products: np.ndarray,
        error: np.ndarray,
        length: float,
        images: np.ndarray | None,
        top: int,
    ) -> np.ndarray:
        """Images among which the first are, ascending.

        Args:
            products: (M,) of a query with the images.
            error: (M,) how far off each may be.
            length: of the query.
            images: (M,) ascending indices of the images to rank; all by default.
            top: how many are wanted.
        """
        every = np.arange(len(products)) if images is None else images
        if top >= len(every) or length * self._longest > LARGEST:
            return every
        some = slice(None) if images is None else images
        # Half the squared distances, less half the query's squared length, the same for all.
        if self._is_cosine:
            scale = length * self._lengths[some]
            values = -products / scale
            error = error / scale + SETTLED
        else:
            half_squares = self._half_squares[some]
            values = half_squares - products
            error = error + SETTLED * (2 * half_squares + length**2)
        limit = np.partition(values + error, top - 1)[top - 1]
        return every[values - error <= limit]

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
