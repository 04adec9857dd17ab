"""What lies before each match, with blocks of the gallery streaming past blocks of queries."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pmm_jax.evaluation.counting import AXIS, Part, count, ready
from pmm_jax.evaluation.distances import GRID_BITS, Grid
from pmm_jax.evaluation.protocol import JUNK, Protocol

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


@dataclass(frozen=True, eq=False)
class _Batch:
    """Queries that are counted together, of about as many matches each."""

    queries: np.ndarray
    """(Q,) indices."""
    part: Part
    slots: np.ndarray
    """(Q, M) which match of the protocol's each is; -1 where a query has fewer."""
    exact: np.ndarray
    """(Q, M) float64, in square grid steps; -inf where a query has fewer."""
    images: np.ndarray
    """(Q, M) gallery index of each match; -1 where a query has fewer."""
    thresholds: jax.Array
    """(M, Q) float32, as `count` takes them."""
    ahead: np.ndarray
    """(Q, M) int64, counted so far; changed under the lock only."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Share:
    """What one of several processes does of an evaluation that all of them make."""

    index: int = 0
    """Of this process."""
    count: int = 1
    """Of processes."""
    total: Callable[[np.ndarray], np.ndarray] = lambda counts: counts
    """Sums an array over the processes; each has to call it."""


class Stream:
    """A query set and a gallery, and how they are compared."""

    def __init__(
        self, protocol: Protocol, grid: Grid, query: np.ndarray, gallery: np.ndarray, chunk: int
    ) -> None:
        """Keep what is compared; no distance is computed yet.

        Args:
            protocol: of these images.
            grid: of these embeddings.
            query: (Q, D) float32, finite.
            gallery: (G, D) float32, finite.
            chunk: queries in a block.
        """
        self._protocol, self._grid, self._chunk = protocol, grid, chunk
        self._query, self._gallery = query, gallery
        devices = jax.local_devices()
        self._mesh = Mesh(np.array(devices), (AXIS,)) if len(devices) > 1 else None
        self._kept = np.flatnonzero(protocol.gallery_ids != JUNK)
        each = -(-len(self._kept) // len(devices))
        self._block = _padded(each, GALLERY_BLOCK) * len(devices)
        self._identities = np.unique(protocol.gallery_ids[self._kept])
        self._scale = np.float32(2.0**-grid.exponent)
        self._centre = gallery.mean(0, dtype=np.float32)

    def match_distances(self) -> np.ndarray:
        """(M,) float64: exact distance of every match, in square grid steps."""
        protocol = self._protocol
        result = np.empty(len(protocol.match_query))
        asking = np.flatnonzero(np.diff(protocol.first))
        order = asking[np.argsort(protocol.query_ids[asking], kind="stable")]
        _, starts = np.unique(protocol.query_ids[order], return_index=True)
        for start, end in itertools.pairwise([*starts.tolist(), len(order)]):
            images = protocol.same_identity(order[start])
            rows = max(1, SETTLED // len(images))  # bounds the block's memory
            for i in range(start, end, rows):
                queries = order[i : min(i + rows, end)]
                block = self._grid.block(self._query[queries], self._gallery[images])
                for row, query in zip(block, queries, strict=True):
                    mine = slice(protocol.first[query], protocol.first[query + 1])
                    result[mine] = row[np.searchsorted(images, protocol.match_image[mine])]
        return result

    def images_ahead(
        self,
        distances: np.ndarray,
        progress: Callable[[int, int], None] | None = None,
        share: Share | None = None,
    ) -> np.ndarray:
        """(M,) int64: images of other identities that come before each match.

        Args:
            distances: (M,) of the matches, from `match_distances`.
            progress: called with (gallery images compared, all of them) after each block.
            share: blocks of queries that this process counts; all by default.
        """
        share = share or Share()
        batches = list(self._batches(distances, share))
        # A second thread multiplies while the first one counts and settles, on few cores.
        with ThreadPoolExecutor(THREADS) as pool:
            before: list[Future[None]] = []
            for start in range(0, len(self._kept), self._block):
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
        if progress is not None:
            progress(len(self._kept), len(self._kept))
        result = np.zeros(len(distances), np.int64)
        for batch in batches:
            real = batch.slots >= 0
            result[batch.slots[real]] = batch.ahead[real]
        return share.total(result)

    def scaled(self, distances: np.ndarray) -> np.ndarray:
        """Squared grid steps in the unit of the distances that kernels compute from a Part."""
        return distances * 2.0 ** (-2 * GRID_BITS)

    def negatives(self) -> int:
        """Pairs of different identities (without junk), over all queries that have a match."""
        asking = np.flatnonzero(np.diff(self._protocol.first))
        return len(asking) * len(self._kept) - int(
            self._protocol.same_identity_counts[asking].sum()
        )

    def blocks(
        self, kernel: Callable[[Part, Part], jax.Array], distances: np.ndarray
    ) -> Iterator[np.ndarray]:
        """What a jitted kernel gives for each block of queries with each of the gallery.

        Args:
            kernel: from the two parts; padding has identity -1 in both.
            distances: (M,) of the matches, which order the queries.
        """
        batches = list(self._batches(distances, Share()))
        for start in range(0, len(self._kept), self._block):
            part = self._gallery_part(self._kept[start : start + self._block])
            for batch in batches:
                yield np.asarray(kernel(batch.part, part))

    def _gallery_part(self, images: np.ndarray) -> Part:
        is_run = images[-1] - images[0] == len(images) - 1  # no junk between: needs no copy
        features = self._gallery[images[0] : images[-1] + 1] if is_run else self._gallery[images]
        return self._ready(features, self._protocol.gallery_ids[images], self._block, self._mesh)

    def _batches(self, distances: np.ndarray, share: Share) -> Iterator[_Batch]:
        protocol = self._protocol
        counts = np.diff(protocol.first)
        asking = np.flatnonzero(counts)
        asking = asking[np.argsort(counts[asking], kind="stable")]
        starts = range(0, len(asking), self._chunk)
        for start in starts[share.index :: share.count]:
            queries = asking[start : start + self._chunk]
            width = -(-int(counts[queries].max()) // 8) * 8
            slots = protocol.first[queries][:, None] + np.arange(width)
            slots = np.where(np.arange(width) < counts[queries][:, None], slots, -1)
            exact = np.where(slots < 0, -np.inf, distances[slots])
            size = _padded(len(queries), self._chunk)
            part = self._ready(self._query[queries], protocol.query_ids[queries], size)
            thresholds = np.full((width, size), NO_MATCH, np.float32)
            scaled = exact * 2.0 ** (-2 * GRID_BITS) - _squared_lengths(part)[: len(queries), None]
            thresholds[:, : len(queries)] = np.where(slots < 0, NO_MATCH, scaled).T
            yield _Batch(
                queries,
                part,
                slots,
                exact,
                np.where(slots < 0, -1, protocol.match_image[slots]),
                jax.device_put(thresholds, _everywhere(self._mesh)),
                np.zeros(slots.shape, np.int64),
            )

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
        placed = jax.device_put((features, numbers), split)
        return ready(placed[0], self._centre, self._scale, placed[1])

    def _compare(self, batch: _Batch, images: np.ndarray, part: Part) -> None:
        counts = count(batch.part, part, batch.thresholds, self._mesh)
        before, is_open = np.asarray(counts.before).sum(0), np.asarray(counts.open)
        with batch.lock:
            batch.ahead[:] += before[:, : len(batch.queries)].T
        pairs = np.flatnonzero(is_open)
        row, column = pairs // is_open.shape[1], pairs % is_open.shape[1]
        block = None
        if len(pairs) * PAIR_COST > is_open.size:
            block = self._grid.block(self._query[batch.queries], self._gallery[images])
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
        column, image = column[order], images[row[order]]
        if block is None:
            asked = batch.queries[column]
            distances, error = self._grid.estimates(self._query, self._gallery, asked, image)
            margin = np.abs(distances[:, None] - batch.exact[column]).min(1)
            unsure = np.flatnonzero(margin <= error)
            distances[unsure] = self._grid.pairs(
                self._query, self._gallery, asked[unsure], image[unsure]
            )
        else:
            distances = block[column, row[order]]
        closer = distances[:, None] < batch.exact[column]
        tied = distances[:, None] == batch.exact[column]
        first = tied & (image[:, None] < batch.images[column])
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        before = np.add.reduceat((closer | first).astype(np.int64), starts)
        with batch.lock:
            batch.ahead[column[starts]] += before


def _padded(length: int, limit: int) -> int:
    """A power of two, so that few shapes are compiled; at most the limit."""
    return min(limit, 1 << max(3, (length - 1).bit_length()))


def _everywhere(mesh: Mesh | None) -> NamedSharding | None:
    return NamedSharding(mesh, PartitionSpec()) if mesh else None


def _squared_lengths(part: Part) -> np.ndarray:
    pieces = [np.asarray(piece, np.float64) for piece in part.pieces]
    return np.sum([np.einsum("nd,nd->n", piece, piece) for piece in pieces], axis=0)
