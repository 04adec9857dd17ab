"""How much of a difference between two models is luck of the queries: a paired bootstrap."""

from typing import NamedTuple

import numpy as np

CHUNK = 256
"""Resamplings drawn at once."""


class Interval(NamedTuple):
    """A difference and where it lies when the queries are drawn anew."""

    difference: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether the two may well be equal."""
        return self.low <= 0 <= self.high


def paired_bootstrap(
    one: np.ndarray, other: np.ndarray, seed: int, draws: int = 10_000, level: float = 0.95
) -> Interval:
    """Percentile interval of mean(one) - mean(other) over resampled queries (Efron, 1979).

    Args:
        one: (Q,) a model's value of each query, such as its average precision; NaN where the query
            isn't counted.
        other: (Q,) the other model's, NaN at the same queries.
        seed: of the resampling.
        draws: resamplings.
        level: share of them inside the interval.

    Raises:
        ValueError: different queries are counted, or none.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    counted = ~np.isnan(one)
    if one.shape != other.shape or not np.array_equal(counted, ~np.isnan(other)):
        raise ValueError("the two models were evaluated on different queries")
    if not counted.any():
        raise ValueError("no query is counted")
    differences = (one - other)[counted]
    rng = np.random.default_rng(seed)
    means = [
        differences[
            rng.integers(len(differences), size=(min(CHUNK, draws - i), len(differences)))
        ].mean(1)
        for i in range(0, draws, CHUNK)
    ]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return Interval(float(differences.mean()), float(low), float(high))
