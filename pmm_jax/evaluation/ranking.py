"""CMC, mAP and mINP from distances, by counting instead of sorting the gallery."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import not_finite
from pmm_jax.evaluation.protocol import Protocol

COUNTED_MATCHES = 16
"""Up to so many matches, one pass over the row for each is faster than one sort of the row
(measured on rows of 16,000; either way gives the same ranks)."""
RELEASE_RANKS = 50
"""Ranks that the release's evaluator keeps of each query, whatever the length of its CMC."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """How well a gallery was ranked. All values are fractions between 0 and 1."""

    cmc: np.ndarray
    """(max_rank,) float64: share of the evaluated queries with a match among their first 1, 2, ...
    gallery images."""
    mAP: float
    """Mean average precision: per query, the mean over its matches of the precision at each."""
    mINP: float
    """Mean inverse negative penalty: per query, matches / rank of the last (Ye et al., 2021)."""
    evaluated: int
    """Queries with at least one match; the others are left out of every mean."""
    release_mAP: float
    """mAP as the PyTorch release prints it: matches past rank 50 count as never found. Too low
    where identities have many images; for comparison with its printed numbers alone."""
    average_precision: np.ndarray
    """(Q,) float64: each query's average precision, NaN where it has no match."""
    first_match: np.ndarray
    """(Q,) float64: rank of each query's first match, from 1, NaN where it has none."""

    @property
    def rank1(self) -> float:
        """Share of the queries whose first gallery image is a match."""
        return float(self.cmc[0])

    @property
    def rank5(self) -> float:
        """Share of the queries with a match among the first 5."""
        return float(self.cmc[4])

    @property
    def rank10(self) -> float:
        """Share of the queries with a match among the first 10."""
        return float(self.cmc[9])


def evaluate_distances(
    distances: npt.ArrayLike,
    query_ids: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    query_cameras: npt.ArrayLike,
    gallery_cameras: npt.ArrayLike,
    max_rank: int = 50,
) -> Ranking:
    """Rank a gallery from its distances to the queries (smaller is more alike).

    Gallery identity -1 is dropped, identity 0 stays as a distractor, and gallery images that share
    both identity and camera with the query are removed. Equal distances rank in gallery order.
    Exact: the same as a stable sort of every row.

    Args:
        distances: (Q, G), real numbers in any unit.
        query_ids: (Q,) integers.
        gallery_ids: (G,) integers.
        query_cameras: (Q,) integers.
        gallery_cameras: (G,) integers.
        max_rank: length of the CMC, at least 10; a smaller gallery fills it up with its last value.

    Raises:
        UserError: arrays that don't fit each other, NaN or infinity, or no query with a match.
    """
    matrix = np.asarray(distances)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise UserError(
            f"distances has shape {matrix.shape}; it must be (queries, gallery), at least 1 of each"
        )
    if matrix.dtype.kind not in "fiu":
        raise UserError(f"distances holds {matrix.dtype}; it must hold real numbers")
    protocol = Protocol(
        query_ids, gallery_ids, query_cameras, gallery_cameras, (matrix.shape[0], matrix.shape[1])
    )
    return rank_rows(protocol, _checked_rows(matrix, protocol.kept), max_rank)


def _checked_rows(matrix: np.ndarray, kept: np.ndarray) -> Iterable[np.ndarray]:
    for index, row in enumerate(matrix):
        if not np.isfinite(row).all():
            raise UserError(not_finite("distances", index, row))
        yield row if len(kept) == len(row) else row[kept]


def rank_rows(protocol: Protocol, rows: Iterable[np.ndarray], max_rank: int) -> Ranking:
    """The ranking from one row of finite distances, (G',) without junk, for each query in turn."""
    if max_rank < 10:
        raise UserError(f"max_rank is {max_rank}; it must be at least 10")
    average_precision = np.full(protocol.queries, np.nan)
    inverse_negative_penalty = np.full(protocol.queries, np.nan)
    release_precision = np.full(protocol.queries, np.nan)
    first_match = np.full(protocol.queries, np.nan)
    hits = np.zeros(max_rank)
    for query, row in enumerate(rows):
        matches, removed = protocol.split(query)
        if not len(matches):
            continue
        ranks = np.sort(match_ranks(row, matches, removed))
        precision = np.arange(1, len(ranks) + 1) / ranks
        average_precision[query] = precision.mean()
        inverse_negative_penalty[query] = precision[-1]
        release_precision[query] = precision[ranks <= RELEASE_RANKS].sum() / len(ranks)
        first_match[query] = ranks[0]
        hits[ranks[0] - 1 :] += 1
    valid = ~np.isnan(average_precision)
    evaluated = int(valid.sum())
    return Ranking(
        cmc=hits / evaluated,
        mAP=float(average_precision[valid].mean()),
        mINP=float(inverse_negative_penalty[valid].mean()),
        evaluated=evaluated,
        release_mAP=float(release_precision[valid].mean()),
        average_precision=average_precision,
        first_match=first_match,
    )


def match_ranks(row: np.ndarray, matches: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Rank of each match, from 1, once the removed images are gone; ties in gallery order.

    Args:
        row: (G,) a query's distances.
        matches: (M,) at least one gallery index.
        removed: (R,) gallery indices that take no rank.

    Returns:
        (M,) int64, in the order of `matches`.
    """
    distances = row[matches]
    if len(matches) <= COUNTED_MATCHES:
        before = _count(row, matches, distances)
    else:
        before = _sort(row, matches, distances)
    if len(removed):
        other = row[removed][:, None]
        earlier = removed[:, None] < matches
        before -= ((other < distances) | ((other == distances) & earlier)).sum(axis=0)
    return before + 1


def _count(row: np.ndarray, matches: np.ndarray, distances: np.ndarray) -> np.ndarray:
    before = np.empty(len(matches), np.int64)
    for index, (match, distance) in enumerate(zip(matches, distances, strict=True)):
        before[index] = np.count_nonzero(row[:match] <= distance)
        before[index] += np.count_nonzero(row[match + 1 :] < distance)
    return before


def _sort(row: np.ndarray, matches: np.ndarray, distances: np.ndarray) -> np.ndarray:
    ordered = np.sort(row)
    before = np.searchsorted(ordered, distances, side="left").astype(np.int64)
    upto = np.searchsorted(ordered, distances, side="right")
    for index in np.flatnonzero(upto - before > 1):  # tied: those earlier in the gallery come first
        before[index] += np.count_nonzero(row[: matches[index]] == distances[index])
    return before
