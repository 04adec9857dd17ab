"""Distances of same and of different identities: histograms, thresholds, and their intervals."""

from dataclasses import dataclass

import numpy as np

from pmm_jax.evaluation.embeddings import Embeddings, validated_stream
from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.pair_histograms import PairHistograms, PointInterval, point_intervals
from pmm_jax.evaluation.verification import FALSE_RATES, OperatingPoint, operating_points

MOST_PAIRS = 200_000_000
"""Pairs of a query and a gallery image; of more, some identities' queries are sampled."""
LEAST_ALLOWED = 10
"""False pairs that a rate must allow: below, the threshold hangs on single pairs."""


@dataclass(frozen=True, eq=False)
class PairDistances:
    """Distances of all pairs, or of those of sampled queries."""

    histograms: PairHistograms
    points: list[OperatingPoint]
    """At FPRs 1e-2, 1e-3 and 1e-4."""
    intervals: list[PointInterval | None]
    """Of each point; None where its rate allows fewer than LEAST_ALLOWED false pairs, or one
    identity has all queries."""
    queries: int
    """Queries with a match whose pairs are counted."""
    all_queries: int
    """Queries with a match."""


def pair_distances(
    query: Embeddings,
    gallery: Embeddings,
    query_block: int,
    seed: int,
    most_pairs: int = MOST_PAIRS,
) -> PairDistances:
    """Compare every query that has a match with every gallery image.

    Args:
        query: Q images, as they are ranked.
        gallery: G images, likewise.
        query_block: as of `evaluate_embeddings`.
        seed: of the sample of queries and of the intervals.
        most_pairs: where there are more, whole identities' queries are left out at random.

    Raises:
        UserError: as of `evaluate_embeddings`.
    """
    protocol, stream = validated_stream(query, gallery, query_block)
    rows = np.flatnonzero(protocol.counts)
    all_queries = len(rows)
    if all_queries * len(protocol.kept) > most_pairs:
        rows = _sampled(protocol, rows, seed, most_pairs // len(protocol.kept))
        protocol, stream = validated_stream(query.take(rows), gallery, query_block)
    histograms = PairHistograms(protocol, stream)
    rates = sorted(FALSE_RATES, reverse=True)
    points = operating_points(protocol, stream, rates, histograms)
    is_many = len(histograms.same) > 1
    told = [point.rate for point in points if is_many and point.allowed >= LEAST_ALLOWED]
    intervals = dict(zip(told, point_intervals(histograms, told, seed), strict=True))
    return PairDistances(
        histograms, points, [intervals.get(rate) for rate in rates], len(rows), all_queries
    )


def _sampled(protocol: Protocol, rows: np.ndarray, seed: int, most: int) -> np.ndarray:
    """Queries of randomly chosen identities: `most` of them or fewer, but one identity's."""
    _, identity = np.unique(protocol.query_ids[rows], return_inverse=True)
    sizes = np.bincount(identity.ravel())
    order = np.random.default_rng(seed).permutation(len(sizes))
    taken = np.cumsum(sizes[order]) <= most
    taken[0] = True
    return rows[np.isin(identity.ravel(), order[taken])]
