"""Verification: how many true pairs are accepted at a given rate of false ones."""

from collections.abc import Sequence

import numpy as np

from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.streaming import Stream

FALSE_RATES = (1e-4, 1e-3, 1e-2)


def true_positive_rates(
    protocol: Protocol, stream: Stream, rates: Sequence[float] = FALSE_RATES
) -> dict[float, float]:
    """TPR at each false positive rate (FPR), over all pairs of all queries that have a match.

    A pair is accepted if its distance is below a threshold: the largest one at which no more than
    that fraction of the pairs of different identities is accepted. Pairs that the protocol removes
    are on neither side. Holds the nearest pairs of different identities, no more than twice the
    highest of the rates' share of them and a block, and of the matches a block.

    Args:
        protocol: of query and gallery.
        stream: of query and gallery.
        rates: FPRs, each below 1.
    """
    with_match = np.flatnonzero(protocol.counts)
    negatives = len(with_match) * len(protocol.kept) - int(
        protocol.same_identity_counts[with_match].sum()
    )
    wanted = int(max(rates) * negatives) + 1
    limits, bound = np.empty(0), np.inf
    for queries, rows in stream.rows(with_match):
        near = [row[protocol.others(q)] for q, row in zip(queries, rows, strict=True)]
        limits = np.concatenate([limits, *(row[row < bound] for row in near)])
        if len(limits) > 2 * wanted:
            limits = np.partition(limits, wanted - 1)[:wanted]
            bound = limits[-1]
    limits.sort()
    ranks = [int(rate * negatives) for rate in rates]
    thresholds = [limits[rank] if rank < len(limits) else np.inf for rank in ranks]
    accepted = np.zeros(len(rates), np.int64)
    for queries, rows in stream.rows(with_match):
        for query, row in zip(queries, rows, strict=True):
            accepted += (row[protocol.matches(query)] < np.array(thresholds)[:, None]).sum(1)
    fractions = accepted / protocol.counts.sum()
    return dict(zip(rates, fractions.tolist(), strict=True))
