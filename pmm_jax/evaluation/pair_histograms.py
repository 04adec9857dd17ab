"""Histograms of the distances of pairs, and what they tell when identities are resampled."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.streaming import Stream

BINS = 4096
RESAMPLES = 1000
CHUNK = 256
"""Identities whose histograms are held as float64 at once."""


class PointInterval(NamedTuple):
    """Where an operating point lies when identities are resampled; distances aren't squared."""

    threshold: tuple[float, float]
    true_positive_rate: tuple[float, float]


class PairHistograms:
    """Distances of matches and of pairs of different identities, counted for each query identity.

    Distances are Euclidean here: square roots of the stream's.

    Attributes:
        same: (I, BINS) uint32, matches of each identity among the queries.
        different: (I, BINS) uint32, pairs of its queries with images of other identities.
        width: of a bin; the first one begins at 0.
    """

    def __init__(self, protocol: Protocol, stream: Stream) -> None:
        """Get ready to count the pairs of all queries that have a match."""
        with_match = np.flatnonzero(protocol.counts)
        identities, rows = np.unique(protocol.query_ids[with_match], return_inverse=True)
        self._row = dict(zip(with_match.tolist(), rows.ravel().tolist(), strict=True))
        self.same = np.zeros((len(identities), BINS), np.uint32)
        self.different = np.zeros_like(self.same)
        self.width = stream.farthest / BINS or 1.0  # all images may be one

    def add(
        self, queries: np.ndarray, same: Sequence[np.ndarray], different: Sequence[np.ndarray]
    ) -> None:
        """Count the squared distances of each query to its matches, and to other identities."""
        for counts, distances in ((self.same, same), (self.different, different)):
            for query, squares in zip(queries.tolist(), distances, strict=True):
                # Rounding may take a square below 0.
                bins = (np.sqrt(np.maximum(squares, 0)) / self.width).astype(np.int64)
                total = np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
                counts[self._row[query]] += total.astype(np.uint32)


def point_intervals(
    histograms: PairHistograms, rates: Sequence[float], seed: int, n_resamples: int = RESAMPLES
) -> list[PointInterval]:
    """95 % percentile interval of threshold and TPR at each rate, over the queries' identities.

    Pairs of a query, and queries of an identity, aren't independent, so whole identities are
    resampled (Efron, 1979). Within a bin the pairs count as evenly spread.

    Args:
        histograms: of all pairs.
        rates: FPRs, each below 1.
        seed: of the resampling.
        n_resamples: how often the identities are resampled.
    """
    identities = len(histograms.same)
    weights = np.random.default_rng(seed).multinomial(
        identities, np.full(identities, 1 / identities), n_resamples
    )
    same, different = (_cumulated(weights, h) for h in (histograms.same, histograms.different))
    result = []
    for rate in rates:
        ranks = np.floor(rate * different[:, -1])
        # The bin of the first pair that is refused.
        bins = (different <= ranks[:, None]).sum(1) - 1
        row = np.arange(n_resamples)
        below, here = different[row, bins], different[row, bins + 1]
        part = (ranks - below) / (here - below)
        accepted = same[row, bins] + part * (same[row, bins + 1] - same[row, bins])
        values = (bins + part) * histograms.width, accepted / same[:, -1]
        low, high = np.quantile(values, (0.025, 0.975), axis=1).tolist()
        result.append(PointInterval(*zip(low, high, strict=True)))
    return result


def _cumulated(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(B, BINS + 1) float64: pairs below each edge, in each of B resamples of the identities."""
    total = np.zeros((len(weights), BINS + 1))
    for start in range(0, len(counts), CHUNK):
        some = slice(start, start + CHUNK)
        total[:, 1:] += weights[:, some].astype(np.float64) @ counts[some].astype(np.float64)
    return np.cumsum(total, axis=1, out=total)
