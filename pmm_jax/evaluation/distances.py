"""Exact squared Euclidean distances between embeddings.

In float32, |a|^2 + |b|^2 - 2ab loses small distances to cancellation, and a matrix product may
round one pair differently in blocks of different shape: ties break at random, and metrics depend
on the block. So embeddings are rounded to a grid, a power of two between 3e-8 and 6e-8 of the
longest embedding, on which every term is an integer below 2^53. float64 adds such integers without
any rounding, in whatever order, so identical images tie exactly and a pair has one distance however
it is computed. The grid moves a distance by about 2e-8 of the longest embedding, less than float32
would.
"""

import numpy as np

GRID_BITS = 25
"""The longest embedding is under 2^25 grid steps, so |a|^2 + |b|^2 + 2|ab| stays under 2^53."""
FLOAT32_EXPONENT = 60
"""Squares of embeddings longer than 2^60, or all shorter than 2^-60, come near float32's limits."""
BLOCK = 1024
"""Rows converted to float64 at once, for a matrix product."""
PAIRS = 128
"""Pairs whose difference is held at once: small enough to stay in the cache."""
RUN = 32
"""Squares added in float32, before float64 takes over: so few round little."""


class Grid:
    """The grid that fits a query set and a gallery.

    Attributes:
        exponent: 2^exponent is above every embedding's length, and at most twice the longest.
    """

    def __init__(self, *features: np.ndarray) -> None:
        """Measure finite embeddings, each (N, D) float32."""
        self.exponent = max(map(_exponent, features))
        self._scale = 2.0 ** (GRID_BITS - self.exponent)  # a power of two rounds nothing

    def steps(self, features: np.ndarray) -> np.ndarray:
        """(..., D) float64 integers, in grid steps."""
        result = features.astype(np.float64)
        result *= self._scale
        return np.rint(result, out=result)

    def pairs(self, one: np.ndarray, other: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """(N,) float64: squared distances, in square grid steps, of rows i of one to j of other."""
        result = np.empty(len(i))
        for start in range(0, len(i), PAIRS):
            some = slice(start, start + PAIRS)
            difference = self.steps(one[i[some]])
            difference -= self.steps(other[j[some]])
            result[some] = np.einsum("nd,nd->n", difference, difference)
        return result

    def estimates(
        self, one: np.ndarray, other: np.ndarray, i: np.ndarray, j: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N,) float64 what `pairs` gives, from float32 in half its time, and how far off.

        Both are in square grid steps; the second is (N,) float64, above every error.
        """
        length = one.shape[1]
        whole = length - length % RUN
        result = np.empty(len(i))
        scale = np.float32(2.0**-self.exponent)  # squares keep clear of float32's limits
        for start in range(0, len(i), PAIRS):
            some = slice(start, start + PAIRS)
            difference = one[i[some]]
            difference -= other[j[some]]
            difference *= scale
            runs = difference[:, :whole].reshape(len(difference), -1, RUN)
            rest = difference[:, whole:]
            result[some] = np.einsum("nrd,nrd->nr", runs, runs).sum(1, dtype=np.float64)
            result[some] += np.einsum("nd,nd->n", rest, rest)
        result *= 4.0**GRID_BITS
        # A difference, its square and a run's sum round it; the grid moves it by a step a dimension
        # at most. What float32 can't hold of a square is far less than a square step.
        rounded = (RUN + 4) * 2.0**-24 * result
        return result, rounded + 1.01 * (2 * np.sqrt(result * length) + length)

    def block(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(N, M) float64: squared distances, in square grid steps, of (N, D) to (M, D)."""
        a = self.steps(one)
        squares = np.einsum("nd,nd->n", a, a)
        a *= -2
        result = np.empty((len(one), len(other)))
        for start in range(0, len(other), BLOCK):
            b = self.steps(other[start : start + BLOCK])
            part = result[:, start : start + BLOCK]
            np.matmul(a, b.T, out=part)
            part += squares[:, None]
            part += np.einsum("nd,nd->n", b, b)
        return result


def within_float32(query: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same embeddings, or a power of two of them where float32 might not hold their squares."""
    exponent = max(_exponent(query), _exponent(gallery))
    if abs(exponent) <= FLOAT32_EXPONENT:
        return query, gallery
    return np.ldexp(query, -exponent), np.ldexp(gallery, -exponent)


def _exponent(features: np.ndarray) -> int:
    with np.errstate(over="ignore"):
        squares = np.einsum("nd,nd->n", features, features)
    longest = float(squares.max())
    if not np.isfinite(longest) or longest < np.finfo(np.float32).tiny / np.finfo(np.float32).eps:
        # Squares that float32 can't hold: rare, so in float64, a block at a time.
        longest = max(
            float(np.square(features[i : i + BLOCK].astype(np.float64)).sum(1).max())
            for i in range(0, len(features), BLOCK)
        )
    # float32 may have rounded the sum down by this much at most.
    longest *= 1 + features.shape[1] * 2.0**-23
    return int(np.frexp(np.sqrt(longest))[1])
