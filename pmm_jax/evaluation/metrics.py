"""CMC, mAP and mINP: from a matrix of distances, by counting instead of sorting the gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import not_finite
from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.row import Row, RowCounter, nearest, others_ahead

COUNTED_MATCHES = 32
"""Most matches for which a pass over the row for each is faster than one sort of the row
(measured on rows of 16,000; either way gives the same ranks)."""
CUTOFF = 50
"""Ranks that mAP@50 counts, whatever the length of the CMC: the PyTorch release keeps so many."""


@dataclass(frozen=True, eq=False)
class RankingMetrics:
    """Metrics of a ranked gallery; all values are fractions between 0 and 1.

    Example:
        >>> from pmm_jax.evaluation import evaluate_embeddings
        >>> metrics = evaluate_embeddings(query, gallery)
        >>> print(f"Rank-1 {metrics.rank1:.1%}, mAP {metrics.mAP:.1%}, mINP {metrics.mINP:.1%}")
        Rank-1 97.2%, mAP 95.9%, mINP ...%
        >>> metrics.rank5, metrics.rank10  # both are of metrics.cmc
        (1.0, 1.0)
        >>> np.flatnonzero(metrics.hits == 0)  # queries whose first image is no match
        array([3])
        >>> metrics.average_precision[:4].round(2)
        array([1.  , 1.  , 1.  , 0.39])
    """

    cmc: np.ndarray
    """(max_rank,) float64: fraction of the evaluated queries with a match among their first 1, 2,
    ... gallery images."""
    mAP: float
    """Mean average precision: per query, the mean over its matches of the precision at each."""
    mINP: float
    """Mean inverse negative penalty: per query, matches / rank of the last (Ye et al., 2021)."""
    evaluated: int
    """Queries with at least one match; the others are left out of every mean."""
    mAP_at_50: float
    """mAP@50: matches past rank 50 count as never found. Too low where identities have many images;
    for comparison with the PyTorch release, which prints it as mAP."""
    average_precision: np.ndarray
    """(Q,) float64: each query's average precision, NaN where it has no match."""
    inverse_negative_penalty: np.ndarray
    """(Q,) float64: each query's matches / rank of the last, NaN where it has no match."""
    first_match: np.ndarray
    """(Q,) float64: rank of each query's first match, from 1, NaN where it has none."""
    first_images: np.ndarray | None = None
    """(Q, 2) int64, where requested: gallery index of each query's first match, and of
    its first image of another identity; -1 where there is none."""

    @property
    def hits(self) -> np.ndarray:
        """(Q,) float64: 1 where the first image is a match, else 0; NaN where there is none."""
        return np.where(np.isnan(self.first_match), np.nan, self.first_match == 1)

    @property
    def rank1(self) -> float:
        """Fraction of the queries whose first gallery image is a match."""
        return float(self.cmc[0])

    @property
    def rank5(self) -> float:
        """Fraction of the queries with a match among the first 5."""
        return float(self.cmc[4])

    @property
    def rank10(self) -> float:
        """Fraction of the queries with a match among the first 10."""
        return float(self.cmc[9])


def evaluate_distances(
    distances: npt.ArrayLike,
    query_ids: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    query_cameras: npt.ArrayLike,
    gallery_cameras: npt.ArrayLike,
    max_rank: int = 50,
) -> RankingMetrics:
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

    Example:
        >>> from pmm_jax.evaluation import evaluate_distances
        >>> metrics = evaluate_distances(
        ...     [[0.1, 0.9, 0.4, 0.7], [0.8, 0.3, 0.5, 0.2]],
        ...     query_ids=[1, 2],
        ...     gallery_ids=[1, 2, 2, 1],
        ...     query_cameras=[1, 1],
        ...     gallery_cameras=[2, 2, 2, 2],
        ... )
        >>> round(metrics.rank1, 3), round(metrics.mAP, 3), round(metrics.mINP, 3)
        (0.5, 0.708, 0.667)
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
    return evaluate_rows(protocol, (row.astype(kind, copy=False) for row in matrix), max_rank)


def evaluate_rows(
    protocol: Protocol, rows: Iterable[np.ndarray], max_rank: int, first_images: bool = False
) -> RankingMetrics:
    """The metrics from one row of exact distances, (G,) floating point, for each query in turn.

    Args:
        protocol: of these queries and gallery.
        rows: one for each query.
        max_rank: length of the CMC, at least 10.
        first_images: tell which images come first, too.

    Raises:
        UserError: NaN or infinity in a row.
    """
    figures, counter = QueryMetrics(protocol, first_images), RowCounter(protocol, COUNTED_MATCHES)
    for query, row in enumerate(rows):
        # A sum is faster than looking at every value, and finite only where all of them are.
        with np.errstate(over="ignore"):
            total = row.sum()
        if not np.isfinite(total) and not np.isfinite(row).all():
            raise UserError(not_finite("distances", query, row))
        if first_images:
            figures.add_first_images(query, Row(row))
        if not protocol.counts[query]:
            continue
        if protocol.counts[query] <= COUNTED_MATCHES:
            figures.add_one(query, counter.others_ahead(row, query))
        else:
            figures.add_row(query, Row(row))
    return figures.metrics(max_rank)


class QueryMetrics:
    """Metrics of each query, as queries become known in any order."""

    def __init__(self, protocol: Protocol, first_images: bool = False) -> None:
        """Create without queries; `first_images` says whether to collect the first images."""
        self._protocol, self._has_first_images = protocol, first_images
        # The last two are 1 + the first images, so that a sum over processes keeps them.
        self._values = np.zeros((protocol.queries, 6))

    def add(self, queries: np.ndarray, ahead: np.ndarray) -> None:
        """Add queries whose images are ranked.

        Args:
            queries: (B,) indices, each with a match.
            ahead: int64, of each query in turn how many images of other identities (without junk)
                come before each of its matches; ascending within a query.
        """
        counts = self._protocol.counts[queries]
        ends = np.cumsum(counts)
        starts = ends - counts
        position = np.arange(1, len(ahead) + 1) - np.repeat(starts, counts)
        ranks = ahead + position
        precision = position / ranks
        early = np.where(ranks <= CUTOFF, precision, 0)
        self._values[queries, 0] = np.add.reduceat(precision, starts) / counts
        self._values[queries, 1] = precision[ends - 1]
        self._values[queries, 2] = ranks[starts]
        self._values[queries, 3] = np.add.reduceat(early, starts) / counts

    def add_one(self, query: int, ahead: np.ndarray) -> None:
        """Add one query; `ahead` in any order."""
        self.add(np.array([query]), np.sort(ahead))

    def add_row(self, query: int, row: Row) -> None:
        """Add one query with many matches, from its distances."""
        matches, others = self._protocol.matches(query), self._protocol.others(query)
        self.add_one(query, others_ahead(row, matches, others))

    def add_first_images(self, query: int, row: Row) -> None:
        """The first match and the first image of another identity of one query."""
        for column, images in enumerate(
            (self._protocol.matches(query), self._protocol.others(query)), start=4
        ):
            if len(images):
                self._values[query, column] = 1 + nearest(row, images)

    def add_found(self, query: int, images: np.ndarray) -> None:
        """Add a query from the images that an index found, nearest first and without junk."""
        matches, others = self._protocol.matches(query), self._protocol.others(query)
        for column, known in enumerate((matches, others), start=4):
            seen = images[np.isin(images, known)]
            if len(seen):
                self._values[query, column] = 1 + seen[0]

    def all_reduce(self, total: Callable[[np.ndarray], np.ndarray]) -> None:
        """Combine the metrics of different queries from several processes.

        Args:
            total: sums an array of integers over the processes; each has to call it.
        """
        # As integers, which a sum with zeros leaves as they are, whatever carries them.
        bits = total(self._values.view(np.int32))
        self._values = np.ascontiguousarray(bits, np.int32).view(np.float64)

    def metrics(self, max_rank: int) -> RankingMetrics:
        """The metrics over all queries.

        Args:
            max_rank: length of the CMC, at least 10.

        Raises:
            UserError: max_rank is too small.
        """
        check_max_rank(max_rank)
        has_match = self._protocol.counts > 0
        average, penalty, first, early = self._values[has_match, :4].T

        def each_query(values: np.ndarray) -> np.ndarray:
            result = np.full(self._protocol.queries, np.nan)
            result[has_match] = values
            return result

        first_images = self._values[:, 4:].astype(np.int64) - 1
        ranks = first[first <= max_rank].astype(np.int64)
        hits = np.bincount(ranks - 1, minlength=max_rank)
        return RankingMetrics(
            cmc=np.cumsum(hits) / len(first),
            mAP=float(average.mean()),
            mINP=float(penalty.mean()),
            evaluated=len(first),
            mAP_at_50=float(early.mean()),
            average_precision=each_query(average),
            inverse_negative_penalty=each_query(penalty),
            first_match=each_query(first),
            first_images=first_images if self._has_first_images else None,
        )


def check_max_rank(max_rank: int) -> None:
    """Refuse a CMC that lacks Rank-10.

    Raises:
        UserError: max_rank is too small.
    """
    if max_rank < 10:
        raise UserError(f"max_rank is {max_rank}; it must be at least 10")
