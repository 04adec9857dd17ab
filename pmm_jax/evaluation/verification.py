"""Verification: how many true pairs are accepted at a given rate of false ones."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.pair_histograms import PairHistograms
from pmm_jax.evaluation.streaming import Stream

FALSE_RATES = (1e-4, 1e-3, 1e-2)
MATCHES = 1 << 22
"""Most matches whose distances are held at once, 32 MiB."""


class OperatingPoint(NamedTuple):
    """A threshold, and what it accepts."""

    rate: float
    """FPR: the fraction of pairs of different identities that may be accepted."""
    allowed: int
    """Pairs of different identities that this is."""
    threshold: float
    """Squared distance; the pairs below it are accepted."""
    true_positive_rate: float


def true_positive_rates(
    protocol: Protocol, stream: Stream, rates: Sequence[float] = FALSE_RATES
) -> dict[float, float]:
    """TPR at each false positive rate, as `operating_points` finds it."""
    points = operating_points(protocol, stream, rates)
    return {point.rate: point.true_positive_rate for point in points}


def operating_points(
    protocol: Protocol,
    stream: Stream,
    rates: Sequence[float] = FALSE_RATES,
    histograms: PairHistograms | None = None,
) -> list[OperatingPoint]:
    """TPR at each false positive rate (FPR), over all pairs of all queries that have a match.

    A pair is accepted if its distance is below a threshold: the largest one at which no more than
    that fraction of the pairs of different identities is accepted. Pairs that the protocol removes
    are on neither side. Holds the nearest pairs of different identities, no more than twice the
    highest of the rates' share of them and a block; and of the matches, MATCHES or a block, for
    which everything is compared twice.

    Args:
        protocol: of query and gallery.
        stream: of query and gallery.
        rates: FPRs, each below 1.
        histograms: of the queries that have a match; counts all pairs on the way.
    """
    with_match = np.flatnonzero(protocol.counts)
    positives = int(protocol.counts.sum())
    negatives = len(with_match) * len(protocol.kept) - int(
        protocol.same_identity_counts[with_match].sum()
    )
    wanted = int(max(rates) * negatives) + 1
    limits, bound = np.empty(0), np.inf
    matches: list[np.ndarray] = []
    for queries, rows in stream.rows(with_match):
        others = [row[protocol.others(q)] for q, row in zip(queries, rows, strict=True)]
        limits = np.concatenate([limits, *(row[row < bound] for row in others)])
        if len(limits) > 2 * wanted:
            limits = np.partition(limits, wanted - 1)[:wanted]
            bound = limits[-1]
        own = [row[protocol.matches(q)] for q, row in zip(queries, rows, strict=True)]
        if positives <= MATCHES:
            matches += own
        if histograms is not None:
            histograms.add(queries, own, others)
    limits.sort()
    ranks = [int(rate * negatives) for rate in rates]
    thresholds = [float(limits[rank]) if rank < len(limits) else np.inf for rank in ranks]
    accepted = np.zeros(len(rates), np.int64)
    for values in matches or _match_distances(protocol, stream, with_match):
        accepted += (values < np.array(thresholds)[:, None]).sum(1)
    fractions = (accepted / positives).tolist()
    return [
        OperatingPoint(*point) for point in zip(rates, ranks, thresholds, fractions, strict=True)
    ]


def _match_distances(
    protocol: Protocol, stream: Stream, queries: np.ndarray
) -> Iterator[np.ndarray]:
    """Squared distances of each query's matches."""
    for some, rows in stream.rows(queries):
        for query, row in zip(some, rows, strict=True):
            yield row[protocol.matches(query)]
