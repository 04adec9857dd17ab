"""How much of a figure, or of a difference between two models, is luck of the queries."""

from typing import NamedTuple

import numpy as np

CHUNK = 256
"""Resamplings drawn at once."""


class Interval(NamedTuple):
    """A mean over queries and where it lies when they are drawn anew."""

    mean: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether the two may well be equal."""
        return self.low <= 0 <= self.high


def mean_interval(
    values: np.ndarray, seed: int, draws: int = 10_000, level: float = 0.95
) -> Interval:
    """Percentile interval of a mean over resampled queries (Efron, 1979).

    Args:
        values: (Q,) each query's, such as its average precision; NaN where it isn't counted.
        seed: of the resampling.
        draws: resamplings.
        level: share of them inside the interval.

    Raises:
        ValueError: no query is counted.
    """
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError("no query is counted")
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(len(values), size=(min(CHUNK, draws - i), len(values)))].mean(1)
        for i in range(0, draws, CHUNK)
    ]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    one: np.ndarray, other: np.ndarray, seed: int, draws: int = 10_000, level: float = 0.95
) -> Interval:
    """Percentile interval of mean(one) - mean(other), with the same queries drawn for both.

    Args:
        one: (Q,) a model's value of each query; NaN where the query isn't counted.
        other: (Q,) the other model's, NaN at the same queries.
        seed: of the resampling.
        draws: resamplings.
        level: share of them inside the interval.

    Raises:
        ValueError: different queries are counted, or none.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        raise ValueError("the two models were evaluated on different queries")
    return mean_interval(one - other, seed, draws, level)
