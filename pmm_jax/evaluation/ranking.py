"""CMC, mAP and mINP: from a matrix of distances, by counting instead of sorting the gallery."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import not_finite
from pmm_jax.evaluation.protocol import JUNK, Protocol

COUNTED_MATCHES = 32
"""Up to so many matches, one pass over the row for each is faster than one sort of the row
(measured on rows of 16,000; either way gives the same ranks)."""
GROUP = 255
"""64-bit words of flags that are summed at once."""
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
    inverse_negative_penalty: np.ndarray
    """(Q,) float64: each query's matches / rank of the last, NaN where it has no match."""
    first_match: np.ndarray
    """(Q,) float64: rank of each query's first match, from 1, NaN where it has none."""

    @property
    def hits(self) -> np.ndarray:
        """(Q,) float64: 1 where the first image is a match, else 0; NaN where there is none."""
        return rank1_hits(self.first_match)

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


def rank1_hits(first_match: np.ndarray) -> np.ndarray:
    """(Q,) float64: 1 where the first match has rank 1, else 0; NaN where there is no match."""
    return np.where(np.isnan(first_match), np.nan, first_match == 1)


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
        distances: (Q, G), real numbers in any unit; integers up to 2^53.
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
    kind = matrix.dtype if matrix.dtype.kind == "f" else np.dtype(np.float64)
    return rank_rows(protocol, (row.astype(kind, copy=False) for row in matrix), max_rank)


def rank_rows(protocol: Protocol, rows: Iterable[np.ndarray], max_rank: int) -> Ranking:
    """The ranking from one row of distances, (G,) floating point, for each query in turn.

    Raises:
        UserError: NaN or infinity in a row.
    """
    junk = np.flatnonzero(protocol.gallery_ids == JUNK)
    ahead = np.empty(len(protocol.match_query), np.int64)
    found = np.empty(len(protocol.match_query))
    counter = _Counter(protocol.images)
    for query, row in enumerate(rows):
        # A sum is faster than looking at every value, and finite only where all of them are.
        if not np.isfinite(row.sum()) and not np.isfinite(row).all():
            raise UserError(not_finite("distances", query, row))
        mine = slice(protocol.first[query], protocol.first[query + 1])
        matches = protocol.match_image[mine]
        if len(matches):
            found[mine] = row[matches]
            if len(junk):
                row = row.copy()
                row[junk] = np.inf
            ahead[mine] = counter.others_ahead(row, matches, protocol.same_identity(query))
    return rank(protocol, found, ahead, max_rank)


def rank(protocol: Protocol, distances: np.ndarray, ahead: np.ndarray, max_rank: int) -> Ranking:
    """The ranking, once it is known what lies before each match.

    Args:
        protocol: whose M matches these are.
        distances: (M,) of each match to its query; only their order in each query counts.
        ahead: (M,) int64, images of other identities (without junk) that rank before each match.
        max_rank: length of the CMC, at least 10.
    """
    if max_rank < 10:
        raise UserError(f"max_rank is {max_rank}; it must be at least 10")
    query, first = protocol.match_query, protocol.first
    # Stable: of equal distances the one earlier in the gallery comes first.
    order = np.lexsort((distances, query))
    position = np.arange(1, len(order) + 1) - first[query]
    ranks = ahead[order] + position
    precision = position / ranks
    counts = np.diff(first)
    has_match = counts > 0
    starts, last = first[:-1][has_match], first[1:][has_match] - 1

    def each_query(values: np.ndarray) -> np.ndarray:
        result = np.full(protocol.queries, np.nan)
        result[has_match] = values
        return result

    evaluated = int(has_match.sum())
    average = np.add.reduceat(precision, starts) / counts[has_match]
    early = np.where(ranks <= RELEASE_RANKS, precision, 0)
    first_ranks = ranks[starts]
    hits = np.bincount(first_ranks[first_ranks <= max_rank] - 1, minlength=max_rank)
    return Ranking(
        cmc=np.cumsum(hits) / evaluated,
        mAP=float(average.mean()),
        mINP=float(precision[last].mean()),
        evaluated=evaluated,
        release_mAP=float((np.add.reduceat(early, starts) / counts[has_match]).mean()),
        average_precision=each_query(average),
        inverse_negative_penalty=each_query(precision[last]),
        first_match=each_query(first_ranks),
    )


class _Counter:
    """Counts in rows of G distances, with memory that is used again for each."""

    def __init__(self, length: int) -> None:
        # Rows padded with False to a whole number of groups of words.
        groups = -(-length // (8 * GROUP))
        self._words = np.zeros((COUNTED_MATCHES, groups, GROUP), np.uint64)
        flags = self._words.view(bool)
        self._flags = flags.reshape(COUNTED_MATCHES, groups * GROUP * 8)[:, :length]

    def others_ahead(
        self, row: np.ndarray, matches: np.ndarray, left_out: np.ndarray
    ) -> np.ndarray:
        """How many images come before each match, ties in gallery order.

        Args:
            row: (G,) a query's distances.
            matches: (M,) at least one gallery index.
            left_out: gallery indices that don't count, the matches themselves among them.

        Returns:
            (M,) int64, in the order of `matches`.
        """
        distances = row[matches]
        if len(matches) <= COUNTED_MATCHES:
            before = self._count(np.less, row, distances)
            upto = self._count(np.less_equal, row, distances)
        else:
            ordered = np.sort(row)
            before = np.searchsorted(ordered, distances, side="left").astype(np.int64)
            upto = np.searchsorted(ordered, distances, side="right")
        for index in np.flatnonzero(upto - before > 1):  # tied: those earlier come first
            before[index] += np.count_nonzero(row[: matches[index]] == distances[index])
        other = row[left_out][:, None]
        earlier = left_out[:, None] < matches
        return before - ((other < distances) | ((other == distances) & earlier)).sum(axis=0)

    def _count(self, compare: np.ufunc, row: np.ndarray, distances: np.ndarray) -> np.ndarray:
        count = len(distances)
        compare(row, distances[:, None], out=self._flags[:count])
        # Eight flags to a word: up to 255 words are summed without a carry from byte to byte.
        sums = self._words[:count].sum(2)
        return sums.view(np.uint8).sum(1, dtype=np.int64)
