"""Verification: how many true pairs are accepted at a given rate of false ones."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.evaluation.counting import Part, squared_distances
from pmm_jax.evaluation.streaming import Stream

FALSE_RATES = (1e-4, 1e-3, 1e-2)


def true_positive_rates(
    stream: Stream, match_distances: np.ndarray, rates: Sequence[float] = FALSE_RATES
) -> dict[float, float]:
    """TPR at each false positive rate (FPR), over all pairs of all queries that have a match.

    A pair is accepted if its distance is below a threshold: the largest one at which no more than
    that share of the pairs of different identities is accepted. Pairs that the protocol removes
    are on neither side. Distances of different identities are float32, whose rounding moves the
    threshold by about 1e-6 of itself.

    Args:
        stream: of query and gallery.
        match_distances: (M,) from `Stream.match_distances`.
        rates: FPRs, each below 1.
    """
    limits: np.ndarray = np.empty(0, np.float32)
    negatives = stream.negatives()
    wanted = int(max(rates) * negatives) + 1
    bound = np.float32(np.inf)
    for distances in stream.blocks(_distances, match_distances):
        limits = np.concatenate([limits, distances[distances < bound]])
        if len(limits) > 2 * wanted:
            limits = np.partition(limits, wanted - 1)[:wanted]
            bound = limits[-1]
    limits.sort()
    positives = stream.scaled(match_distances)
    result = {}
    for rate in rates:
        accepted = int(rate * negatives)
        threshold = limits[accepted] if accepted < len(limits) else np.inf
        result[rate] = float(np.mean(positives < threshold))
    return result


@jax.jit
def _distances(query: Part, gallery: Part) -> jax.Array:
    """(Q, N) float32: scaled squared distances, infinite for one identity and for padding."""
    distances = squared_distances(query, gallery)
    mine, theirs = query.identities[:, None], gallery.identities[None]
    return jnp.where((mine == theirs) | (theirs < 0) | (mine < 0), jnp.inf, distances)
