"""Rank a gallery block by block, without the full matrix of distances."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pmm_jax.distributed.processes import ProcessShard
from pmm_jax.evaluation.counting import AXIS, Part, count, ready
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.metrics import QueryMetrics
from pmm_jax.evaluation.row import Row

FEW_MATCHES = 100
"""Most matches for which comparing every image with each is faster than a product in float64 and a
sort of the row; either way gives the same ranks."""
GALLERY_BLOCK = 2048
"""Gallery images that one device compares with a block of queries at once."""
NO_MATCH = -8.0
"""Threshold below every scaled distance less the query's squared length (more than -4)."""
SETTLED = 1 << 16
"""Open pairs settled at once, which bounds their memory."""
THREADS = 2
"""Blocks compared at once."""
PAIR_COST = 64
"""One pair alone takes as long as so many in a block, measured at 1,536 dimensions."""
VALUES = 1 << 22
"""Distances to the whole gallery that are held at once, 32 MiB; but of LEAST_ROWS queries."""
LEAST_ROWS = 32
"""A product of fewer rows would spend its time on the gallery's conversion to float64."""
NEVER = np.iinfo(np.int64).max
"""More images than any gallery has."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Queries that are counted together, of about as many matches each."""

    queries: np.ndarray
    """(Q,) indices."""
    part: Part
    images: np.ndarray
    """(Q, M) gallery index of each match, ascending; -1 where a query has fewer."""
    distances: np.ndarray
    """(Q, M) float64 of each match; -inf where a query has fewer."""
    error: np.ndarray
    """(Q, M) float64: how far off each may be."""
    thresholds: jax.Array
    """(M, Q) float32, as `count` takes them."""
    ahead: np.ndarray
    """(Q, M) int64, counted so far."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Lock of the distances, which become exact where it matters, and of the counts."""


class Stream:
    """A query set and a gallery, and how they are compared."""

    def __init__(self, protocol: Protocol, distances: Distances, query_block: int) -> None:
        """Keep what is compared; no distance is computed yet.

        Args:
            protocol: of these images.
            distances: of these embeddings.
            query_block: queries in a block.
        """
        self._protocol, self._distances, self._query_block = protocol, distances, query_block
        devices = jax.local_devices()
        self._mesh = Mesh(np.array(devices), (AXIS,)) if len(devices) > 1 else None
        self._kept = protocol.kept
        each = -(-len(self._kept) // len(devices))
        self._block = _padded(each, GALLERY_BLOCK) * len(devices)
        self._identities = np.unique(protocol.gallery_ids[self._kept])

    @property
    def farthest(self) -> float:
        """No distance is larger; it isn't squared."""
        return self._distances.bound

    def query_metrics(
        self,
        progress: Callable[[int, int], None] | None = None,
        shard: ProcessShard | None = None,
        first_images: bool = False,
    ) -> QueryMetrics:
        """Metrics of every query.

        Args:
            progress: called with (gallery images compared, all of them) after each block.
            shard: blocks of queries that this process compares; all by default.
            first_images: tell which images come first, too.
        """
        shard = shard or ProcessShard()
        counts = self._protocol.counts
        # A whole row tells its first images, and is exact where float32 would hardly help.
        by_row = first_images or self._distances.is_hard
        is_few = counts <= (0 if by_row else FEW_MATCHES)
        figures = QueryMetrics(self._protocol, first_images)
        self._count_few(figures, np.flatnonzero(is_few & (counts > 0)), progress, shard)
        row_queries = np.arange(len(counts)) if first_images else np.flatnonzero(~is_few)
        for queries, values in self.rows(row_queries, shard):
            for query, distances in zip(queries.tolist(), values, strict=True):
                row = self._row(query, distances)
                if counts[query]:
                    figures.add_row(query, row)
                if first_images:
                    figures.add_first_images(query, row)
        if progress is not None:
            progress(len(self._kept), len(self._kept))
        figures.all_reduce(shard.total)
        return figures

    def rows(
        self, queries: np.ndarray, shard: ProcessShard | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Some queries and their distances to the whole gallery, (N, G) float64, block by block."""
        shard = shard or ProcessShard()
        size = max(LEAST_ROWS, VALUES // self._protocol.images)
        everything = np.arange(self._protocol.images)
        for start in range(0, len(queries), size)[shard.index :: shard.count]:
            some = queries[start : start + size]
            yield some, self._distances.block(some, everything)

    def _row(self, query: int, values: np.ndarray) -> Row:
        error = self._distances.error(query, np.arange(len(values)))
        if not error.any():
            return Row(values)

        def settle(images: np.ndarray) -> np.ndarray:
            return self._distances.pairs(np.full(len(images), query), images)

        return Row(values, error, settle)

    def _count_few(
        self,
        figures: QueryMetrics,
        queries: np.ndarray,
        progress: Callable[[int, int], None] | None,
        shard: ProcessShard,
    ) -> None:
        """Figures of queries with few matches, which are counted rather than sorted."""
        batches = list(self._batches(queries, shard))
        # A second thread multiplies while the first one counts and settles, on few cores.
        with ThreadPoolExecutor(THREADS) as pool:
            before: list[Future[None]] = []
            for start in range(0, len(self._kept), self._block) if batches else ():
                images = self._kept[start : start + self._block]
                part = self._gallery_part(images)
                begun = [pool.submit(self._compare, batch, images, part) for batch in batches]
                # At most two blocks are held at once.
                for one in before:
                    one.result()
                before = begun
                if progress is not None:
                    progress(start, len(self._kept))
            for one in before:
                one.result()
        for batch in batches:
            # Counts of slots that hold no match come last.
            ahead = np.sort(np.where(batch.images < 0, NEVER, batch.ahead), axis=1)
            figures.add(batch.queries, ahead[ahead < NEVER])

    def _gallery_part(self, images: np.ndarray) -> Part:
        features = self._distances.scaled_gallery(images)
        return self._ready(features, self._protocol.gallery_ids[images], self._block, self._mesh)

    def _batches(self, every_query: np.ndarray, shard: ProcessShard) -> Iterator[_Batch]:
        counts = self._protocol.counts
        every_query = every_query[np.argsort(counts[every_query], kind="stable")]
        starts = range(0, len(every_query), self._query_block)
        scale = 4.0**-self._distances.exponent
        for start in starts[shard.index :: shard.count]:
            queries = every_query[start : start + self._query_block]
            width = -(-int(counts[queries].max()) // 8) * 8
            images, distances, error = self._matches(queries, width)
            size = _padded(len(queries), self._query_block)
            features = self._distances.scaled_query(queries)
            part = self._ready(features, self._protocol.query_ids[queries], size)
            thresholds = np.full((width, size), NO_MATCH, np.float32)
            scaled = distances * scale - _squared_lengths(part)[: len(queries), None]
            thresholds[:, : len(queries)] = np.where(images < 0, NO_MATCH, scaled).T
            yield _Batch(
                queries,
                part,
                images,
                distances,
                error,
                jax.device_put(thresholds, _everywhere(self._mesh)),
                np.zeros(images.shape, np.int64),
            )

    def _matches(
        self, queries: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images, distances and errors of a batch's matches, each (Q, width)."""
        shape = len(queries), width
        images, distances = np.full(shape, -1), np.full(shape, -np.inf)
        error = np.zeros(shape)
        _, group = np.unique(self._protocol.query_ids[queries], return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1):
            found = [self._protocol.matches(query) for query in queries[rows]]
            candidates = np.unique(np.concatenate(found))
            block = self._distances.block(queries[rows], candidates)
            for row, values, mine in zip(rows, block, found, strict=True):
                images[row, : len(mine)] = mine
                distances[row, : len(mine)] = values[np.searchsorted(candidates, mine)]
                error[row, : len(mine)] = self._distances.error(queries[row], mine)
        return images, distances, error

    def _ready(
        self, features: np.ndarray, identities: np.ndarray, size: int, mesh: Mesh | None = None
    ) -> Part:
        missing = size - len(features)
        # Numbers that fit int32, whatever the identities are.
        numbers = np.searchsorted(self._identities, identities).astype(np.int32)
        if missing:
            features = np.pad(features, ((0, missing), (0, 0)))
            numbers = np.pad(numbers, (0, missing), constant_values=-1)
        split = NamedSharding(mesh, PartitionSpec(AXIS)) if mesh else _everywhere(self._mesh)
        return ready(*jax.device_put((features, numbers), split))

    def _compare(self, batch: _Batch, images: np.ndarray, part: Part) -> None:
        counts = count(batch.part, part, batch.thresholds, self._mesh)
        before, is_open = np.asarray(counts.before).sum(0), np.asarray(counts.open)
        with batch.lock:
            batch.ahead[:] += before[:, : len(batch.queries)].T
        pairs = np.flatnonzero(is_open)
        row, column = pairs // is_open.shape[1], pairs % is_open.shape[1]
        block = None
        if len(pairs) * PAIR_COST > is_open.size:
            block = self._distances.block(batch.queries, images)
        for start in range(0, len(pairs), SETTLED):
            some = slice(start, start + SETTLED)
            self._settle(batch, images, column[some], row[some], block)

    def _settle(
        self,
        batch: _Batch,
        images: np.ndarray,
        column: np.ndarray,
        row: np.ndarray,
        block: np.ndarray | None,
    ) -> None:
        """Add the open pairs of queries `column` of a batch and gallery images `row` of a block."""
        order = np.argsort(column, kind="stable")
        column, row = column[order], row[order]
        query, image = batch.queries[column], images[row]
        if block is None:
            distances, error = self._distances.estimates(query, image)
        else:
            distances, error = block[column, row], self._distances.error(query, image)
        with batch.lock:
            matches, theirs = batch.distances[column], batch.error[column]
        doubt = error[:, None] + theirs
        # Where nothing rounds, equal is equal.
        unsure = ((np.abs(distances[:, None] - matches) <= doubt) & (doubt > 0)).any(1)
        if unsure.any():
            distances[unsure] = self._distances.pairs(query[unsure], image[unsure])
            matches[unsure] = self._exact_matches(batch, column[unsure])
        closer = distances[:, None] < matches
        first = (distances[:, None] == matches) & (image[:, None] < batch.images[column])
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        before = np.add.reduceat((closer | first).astype(np.int64), starts)
        with batch.lock:
            batch.ahead[column[starts]] += before

    def _exact_matches(self, batch: _Batch, column: np.ndarray) -> np.ndarray:
        """(N, M) exact distances of the matches of queries `column` of a batch."""
        with batch.lock:
            for one in np.unique(column):
                if batch.error[one].any():
                    mine = batch.images[one][batch.images[one] >= 0]
                    query = np.full(len(mine), batch.queries[one])
                    batch.distances[one, : len(mine)] = self._distances.pairs(query, mine)
                    batch.error[one] = 0
            return batch.distances[column]


def _padded(length: int, limit: int) -> int:
    """A power of two, so that few shapes are compiled; at most the limit."""
    return min(limit, 1 << max(3, (length - 1).bit_length()))


def _everywhere(mesh: Mesh | None) -> NamedSharding | None:
    return NamedSharding(mesh, PartitionSpec()) if mesh else None


def _squared_lengths(part: Part) -> np.ndarray:
    pieces = [np.asarray(piece, np.float64) for piece in part.pieces]
    return np.sum([np.einsum("nd,nd->n", piece, piece) for piece in pieces], axis=0)
