"""Intervals of a figure, or of a difference between two models, over queries and seeds."""

from typing import NamedTuple

import numpy as np
from scipy import special

CHUNK = 256
"""Resamples computed at once."""


class Interval(NamedTuple):
    """A mean over queries and where it lies when they, or training runs too, are resampled.

    Example:
        >>> from pmm_jax.evaluation.bootstrap import Interval
        >>> difference = Interval(mean=0.02, low=-0.01, high=0.05)
        >>> difference.holds_zero  # so the two may well be equally good
        True
    """

    mean: float
    """Of the values as they are."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    @property
    def holds_zero(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high


def mean_interval(
    values: np.ndarray, seed: int, n_resamples: int = 10_000, level: float = 0.95
) -> Interval:
    """Percentile interval of a mean over resampled queries (Efron, 1979).

    Args:
        values: (Q,) each query's, such as its average precision; NaN where it isn't counted.
        seed: of the resampling.
        n_resamples: how often the queries are resampled.
        level: fraction of them inside the interval.

    Raises:
        ValueError: no query is counted.

    Example:
        >>> from pmm_jax.evaluation import evaluate_embeddings
        >>> from pmm_jax.evaluation.bootstrap import mean_interval
        >>> metrics = evaluate_embeddings(query, gallery)
        >>> mAP = mean_interval(metrics.average_precision, seed=0)
        >>> print(f"mAP {mAP.mean:.1%} ({mAP.low:.1%} to {mAP.high:.1%})")
        mAP 95.9% (91.3% to 99.2%)
    """
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError("no query is counted")
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(len(values), size=(min(CHUNK, n_resamples - i), len(values)))].mean(1)
        for i in range(0, n_resamples, CHUNK)
    ]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    one: np.ndarray, other: np.ndarray, seed: int, n_resamples: int = 10_000, level: float = 0.95
) -> Interval:
    """Percentile interval of mean(one) - mean(other), with the same resampled queries for both.

    Args:
        one: (Q,) a model's value of each query; NaN where the query isn't counted.
        other: (Q,) the other model's, NaN at the same queries.
        seed: of the resampling.
        n_resamples: how often the queries are resampled.
        level: fraction of them inside the interval.

    Raises:
        ValueError: different queries are counted, or none.

    Example:
        >>> from pmm_jax.evaluation.bootstrap import paired_bootstrap
        >>> ours = np.array([0.9, 0.8, 1.0, 0.7, np.nan, 0.6])  # each query's average precision
        >>> theirs = np.array([0.8, 0.7, 1.0, 0.5, np.nan, 0.5])
        >>> gain = paired_bootstrap(ours, theirs, seed=0)
        >>> print(f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})")
        +0.10 (+0.04 to +0.16)
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        raise ValueError("the two models were evaluated on different queries")
    return mean_interval(one - other, seed, n_resamples, level)


def runs_interval(one: np.ndarray, other: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of mean(one) - mean(other) over queries and over seeds of training.

    The runs' differences give their part by Student's t, which is wide for few runs; the queries'
    part is the normal approximation of the bootstrap over queries, on values averaged over the
    runs. The two are independent, so their squares add up.

    Args:
        one: (R, Q) a method's value of each query in each of R >= 2 runs; NaN where the query
            isn't counted.
        other: (R, Q) the other method's; run r of both has the same seed.
        level: fraction of such intervals that hold the true difference.

    Raises:
        ValueError: one run alone, or different queries are counted, or none.

    Example:
        >>> from pmm_jax.evaluation.bootstrap import runs_interval
        >>> ours = np.array([[0.9, 0.8, 1.0, 0.7], [0.8, 0.8, 0.9, 0.6]])  # two seeds, four queries
        >>> theirs = np.array([[0.8, 0.7, 1.0, 0.5], [0.8, 0.6, 0.8, 0.6]])
        >>> gain = runs_interval(ours, theirs)
        >>> print(f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})")
        +0.09 (-0.08 to +0.25)
        >>> gain.holds_zero  # two seeds say little
        True
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape != other.shape or len(one) < 2:
        raise ValueError(f"values of shape {one.shape} and {other.shape}; both need 2 runs or more")
    counted = ~np.isnan(one[0])
    if (np.isnan([one, other]) == counted).any():
        raise ValueError("the two methods were evaluated on different queries")
    if not counted.any():
        raise ValueError("no query is counted")
    difference = (one - other)[:, counted]
    runs, queries = difference.shape
    tail = (1 + level) / 2
    by_run = difference.mean(1).std(ddof=1) / runs**0.5 * special.stdtrit(runs - 1, tail)
    by_query = difference.mean(0).std() / queries**0.5 * special.ndtri(tail)
    mean, half = float(difference.mean()), float(np.hypot(by_run, by_query))
    return Interval(mean, mean - half, mean + half)
