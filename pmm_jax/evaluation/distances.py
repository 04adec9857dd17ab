"""Squared Euclidean distances in float64, and how far off the faster forms of them can be.

In float32, |a|^2 + |b|^2 - 2ab loses small distances to cancellation, and a matrix product may
round one pair differently in blocks of different shape: ties break at random, and metrics depend
on the block. So the distance of two images is one thing here: the sum of their squared differences
in float64, added as NumPy adds a row. Everything faster comes with a bound on its error (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), and pairs that the bound leaves
open are settled by that sum. Embeddings far from 0, or one far longer than the others, cost time
but never an order.
"""

import numpy as np

from pmm_jax.errors import UserError

FLOAT32_EXPONENT = 60
"""Squares of embeddings longer than 2^60, or all shorter than 2^-60, come near float32's limits."""
FLOAT64_EXPONENTS = -400, 500
"""Exponents beyond which squares come near float64's limits."""
LATTICE_BITS = 25
"""Integers of at most so many bits have distances below 2^53, which float64 adds exactly."""
SAMPLE = 255
"""Images that the center is the median of; odd, so that it is made of values of theirs."""
PROBES = 16
"""Images whose distances to the sample tell whether float32 will do."""
BLOCK = 1024
"""Rows converted to float64 at once, for a matrix product."""
PAIRS = 128
"""Pairs whose difference is held at once: small enough to stay in the cache."""
RUN = 32
"""Squares added in float32, before float64 takes over: so few round little."""


class Distances:
    """Distances of a query set to a gallery.

    Attributes:
        query: (Q, D) float32, or float64 where float32 can't hold the values.
        gallery: (G, D) of the same type.
        exponent: 2^exponent is above the distance of every embedding from the center.
        bound: no pair's distance, not squared, is larger.
        is_hard: float32 would tell few images apart: their differences are small beside the
            longest embedding.
    """

    def __init__(self, query: np.ndarray, gallery: np.ndarray) -> None:
        """Measure finite embeddings, each (N, D) float32 or float64.

        Raises:
            UserError: an embedding too long for float64 to hold its square.
        """
        self.query, self.gallery = comparable(query, gallery)
        sample = _spread(self.gallery, (min(SAMPLE, len(self.gallery)) - 1) // 2 * 2 + 1)
        # Of the median, so that one far image doesn't move it. It moves no distance, and errors
        # grow with the length of what is left.
        self._center = np.median(sample, axis=0).astype(self.gallery.dtype)
        self._lengths = self._measured(self.query), self._measured(self.gallery)
        ends = [float(lengths.max()) for lengths in self._lengths]
        longest, self.bound = max(ends), sum(ends)
        self.exponent = int(np.frexp(longest)[1])
        size = self.query.shape[1]
        # Centering, the product and the sum of squares that it stands for round, each in float64.
        self._rounding = 1.01 * (2 * size + 16) * 2.0**-53
        # Squares of float32 values are never too small for float64.
        self._lost = 0.0 if self.query.dtype == np.float32 else size * 2.0**-1060
        if self._is_lattice():
            self._rounding = self._lost = 0.0
        self.is_hard = self._is_hard(sample, longest)

    def pairs(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """(N,) float64: distances of queries i to gallery images j."""
        result = np.empty(len(i))
        for start in range(0, len(i), PAIRS):
            some = slice(start, start + PAIRS)
            result[some] = squared_distance(self.query[i[some]], self.gallery[j[some]])
        return result

    def estimates(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) float64 what `pairs` gives, in half its time, and (N,) a bound on the error."""
        size = self.query.shape[1]
        whole = size - size % RUN
        result = np.empty(len(i))
        for start in range(0, len(i), PAIRS):
            some = slice(start, start + PAIRS)
            difference = self.query[i[some]]
            difference -= self.gallery[j[some]]
            runs = difference[:, :whole].reshape(len(difference), -1, RUN)
            rest = difference[:, whole:]
            result[some] = np.einsum("nrd,nrd->nr", runs, runs).sum(1, dtype=np.float64)
            result[some] += np.einsum("nd,nd->n", rest, rest)
        # A difference, its square and a run's sum round it; so does the sum that it stands for.
        kind = np.finfo(self.query.dtype)
        unit = (RUN + 4) * float(kind.eps) / 2 + size * 2.0**-53
        return result, 1.01 * unit * result + size * float(kind.smallest_subnormal)

    def block(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """(N, M) float64: distances of N queries to M gallery images, as far off as `error`."""
        a = self._centered(self.query[i])
        squares = np.einsum("nd,nd->n", a, a)
        a *= -2
        result = np.empty((len(i), len(j)))
        for start in range(0, len(j), BLOCK):
            b = self._centered(self.gallery[j[start : start + BLOCK]])
            part = result[:, start : start + BLOCK]
            np.matmul(a, b.T, out=part)
            part += squares[:, None]
            part += np.einsum("nd,nd->n", b, b)
        return result

    def error(self, i: np.ndarray | int, j: np.ndarray) -> np.ndarray:
        """Bound on the error of `block` for queries i and gallery images j; 0 where it has none."""
        lengths = self._lengths[0][i] + self._lengths[1][j]
        return self._rounding * np.square(lengths) + self._lost * (lengths > 0)

    def prepared(self) -> tuple[np.ndarray, np.ndarray]:
        """Query and gallery, centered and scaled, for what works with plain distances.

        As float32, or as float64 where float32 would tell few images apart. Squared distances of
        theirs are 4^-exponent of the embeddings'.
        """
        query = self._prepared(self.query)
        return query, query if self.gallery is self.query else self._prepared(self.gallery)

    def _prepared(self, features: np.ndarray) -> np.ndarray:
        if not self.is_hard:
            return self._scaled(features)
        return self._centered(features) * 2.0**-self.exponent

    def farthest(self) -> tuple[str, int]:
        """Set (`query` or `gallery`) and row of the embedding farthest from the center."""
        rows = [int(np.argmax(lengths)) for lengths in self._lengths]
        ends = [float(lengths.max()) for lengths in self._lengths]
        return ("query", rows[0]) if ends[0] > ends[1] else ("gallery", rows[1])

    def scaled_query(self, i: np.ndarray) -> np.ndarray:
        """(N, D) float32: queries i from the center, times 2^-exponent."""
        return self._scaled(self.query[i])

    def scaled_gallery(self, j: np.ndarray) -> np.ndarray:
        """(N, D) float32: gallery images j from the center, times 2^-exponent."""
        return self._scaled(self.gallery[j])

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        result = features - self._center
        result *= result.dtype.type(2.0**-self.exponent)  # a power of two rounds nothing
        return result.astype(np.float32, copy=False)

    def _centered(self, features: np.ndarray) -> np.ndarray:
        result = features.astype(np.float64)
        result -= self._center
        return result

    def _measured(self, features: np.ndarray) -> np.ndarray:
        """(N,) float64: lengths from the center, rounded up."""
        result = np.empty(len(features))
        tiny = features.shape[1] * float(np.finfo(features.dtype).smallest_subnormal)
        for start in range(0, len(features), BLOCK):
            some = features[start : start + BLOCK] - self._center
            squares = np.einsum("nd,nd->n", some, some) * (1 + 2.0**-10) + tiny
            result[start : start + BLOCK] = np.where(some.any(1), np.sqrt(squares), 0)
        return result

    def _is_lattice(self) -> bool:
        """Whether all values are small multiples of one number, so that `block` rounds nothing."""
        step = 2.0 ** (LATTICE_BITS - self.exponent)
        for features in (self.gallery, self.query):
            for start in range(0, len(features), BLOCK):
                steps = features[start : start + BLOCK].astype(np.float64) * step
                if np.abs(steps).max() > 2.0**52 or (np.rint(steps) != steps).any():
                    return False
        return True

    def _is_hard(self, sample: np.ndarray, longest: float) -> bool:
        probes = self._centered(_spread(sample, PROBES))
        difference = probes[:, None] - self._centered(sample)
        distances = np.square(difference, out=difference).sum(-1)
        apart = distances[distances > 0]
        return len(apart) > 0 and bool(np.quantile(apart, 0.1) < 2.0**-12 * longest**2)


def squared_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) float64: the distance of each pair of rows (N, D), which decides every order here."""
    difference = one.astype(np.float64)
    difference -= other
    return np.square(difference, out=difference).sum(-1)


def comparable(query: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert embeddings to float32 where it represents them exactly, else to float64.

    Where all are so short that float64 would lose their squares, a power of two of them.

    Raises:
        UserError: an embedding too long for float64 to hold its square.
    """
    exponent = max(_exponent(query), _exponent(gallery))
    least, most = FLOAT64_EXPONENTS
    if exponent > most:
        for name, features in (("query", query), ("gallery", gallery)):
            if _exponent(features) > most:
                row = int(np.argmax(np.abs(features).max(1)))
                raise UserError(
                    f"{name} features are too long in row {row}: float64 can't hold the square of "
                    f"{np.abs(features[row]).max():.3g}; fix the model or the image that it comes "
                    "from"
                )
    narrow = [_as_float32(features) for features in (query, gallery)]
    if abs(exponent) <= FLOAT32_EXPONENT and narrow[0] is not None and narrow[1] is not None:
        return narrow[0], narrow[1]
    query, gallery = (features.astype(np.float64, copy=False) for features in (query, gallery))
    if exponent < least:
        return np.ldexp(query, -exponent), np.ldexp(gallery, -exponent)
    return query, gallery


def _as_float32(features: np.ndarray) -> np.ndarray | None:
    with np.errstate(over="ignore"):
        narrow = features.astype(np.float32, copy=False)
    return narrow if np.array_equal(narrow, features) else None


def _exponent(features: np.ndarray) -> int:
    """2 to this power is above every embedding's length."""
    largest = max(float(features.max()), -float(features.min()))
    return int(np.frexp(largest)[1]) + (features.shape[1] - 1).bit_length() // 2 + 1


def _spread(features: np.ndarray, count: int) -> np.ndarray:
    """Select at most so many rows, spread over all."""
    count = min(count, len(features))
    return features[np.linspace(0, len(features) - 1, count).astype(int)]
