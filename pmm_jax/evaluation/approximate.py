"""Ranking by an approximate index (FAISS, optional): for galleries where exact is too slow.

The extra `faiss` brings it (or install faiss-gpu); nothing else here needs it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from pmm_jax.errors import UserError, missing_extra
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.embeddings import Embeddings, validated
from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.metrics import QueryMetrics, RankingMetrics, check_max_rank

NEVER = 1 << 40
"""Images ahead of a match that the index didn't find: its precision rounds to 0."""
SEED = 1234
"""Seed of the index's clustering, so that one gallery gives one index."""
ADDED = 1 << 16
"""Gallery images added to an index at once, which bounds the memory of their copy."""
TRIED = 1 << 16
"""Gallery size above which any index is assumed to have enough images."""


def find(query: np.ndarray, gallery: np.ndarray, k: int, index: str, nprobe: int) -> np.ndarray:
    """The k nearest gallery images of each query, as an index finds them.

    Args:
        query: (Q, D) float32, finite.
        gallery: (G, D) float32, finite; may be memory-mapped.
        k: at most G.
        index: FAISS's factory string, such as "IVF1024,Flat", "IVF4096,PQ64" or "HNSW32,Flat".
        nprobe: clusters that are searched for each query, for an IVF index.

    Returns:
        (Q, k) int64, nearest first; -1 where it found fewer.

    Raises:
        UserError: FAISS is not installed, or can't make such an index.
    """
    with _refusing(index):
        made = _untrained(index, gallery.shape[1])
        ivf = _clusters(made, index)
        if ivf is not None:
            ivf.nprobe, ivf.cp.seed = nprobe, SEED
        if not made.is_trained:
            made.train(np.ascontiguousarray(gallery))
        for start in range(0, len(gallery), ADDED):
            made.add(np.ascontiguousarray(gallery[start : start + ADDED]))
    return made.search(np.ascontiguousarray(query), k)[1]


def check_index(index: str, images: int, length: int | None) -> None:
    """Refuse an index that a gallery of so many images doesn't allow.

    Args:
        index: as of `find`.
        images: in the gallery.
        length: of an embedding, where it is known; random ones of that length then train the
            index as briefly as it can be.

    Raises:
        UserError: as of `find`.
    """
    with _refusing(index):
        _faiss()
        if length is None:
            return
        made = _untrained(index, length)
        ivf = _clusters(made, index)
        if ivf is not None:
            ivf.cp.niter = 1
            if ivf.nlist > images:
                raise UserError(
                    f"an index {index} has {ivf.nlist} clusters, and the gallery {images} images; "
                    "use fewer clusters, or leave out faiss_index"
                )
        if not made.is_trained and images <= TRIED:
            rng = np.random.default_rng(SEED)
            made.train(rng.standard_normal((images, length), np.float32))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise missing_extra("an approximate index", "faiss", "leave out faiss_index") from None
    return faiss


def _untrained(index: str, length: int) -> Any:
    return _faiss().index_factory(length, index)


def _clusters(made: Any, index: str) -> Any:
    """The IVF index within, None where there is none."""
    has_any = index.startswith("IVF") or ",IVF" in index
    return _faiss().extract_index_ivf(made) if has_any else None


@contextmanager
def _refusing(index: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # FAISS's own, with its C++ source line ahead
        reason = " ".join(str(error).split()).rpartition(": ")[2]
        raise UserError(f"FAISS can't make an index {index!r} of this gallery: {reason}") from error


def recall(found: np.ndarray, nearest: np.ndarray) -> float:
    """Fraction of the true nearest images, (Q, k) indices, that an index found, (Q, k)."""
    hits = [np.isin(true, mine).mean() for true, mine in zip(nearest, found, strict=True)]
    return float(np.mean(hits))


def evaluate_approximately(  # noqa: PLR0913
    query: Embeddings,
    gallery: Embeddings,
    index: str,
    nprobe: int = 16,
    top_n: int = 1000,
    max_rank: int = 50,
    first_images: bool = False,
) -> RankingMetrics:
    """Rank what an index finds, as `evaluate_embeddings` ranks everything.

    A match that isn't among the `top_n` images that the index finds counts as never found: its
    precision is 0, and the rank of a query's first match is infinite if none was found. So every
    figure is at most a little above the exact one (where the index misses images of others) and
    usually below it.

    Args:
        query: Q images.
        gallery: G images, embedded by the same model.
        index: as of `find`.
        nprobe: as of `find`.
        top_n: images found for each query.
        max_rank: length of the CMC, at least 10.
        first_images: tell which images come first, too.

    Raises:
        UserError: as of `evaluate_embeddings` and `find`, or embeddings that float32 would hardly
            tell apart.
    """
    query, gallery = validated("query", query), validated("gallery", gallery)
    shape = len(query.features), len(gallery.features)
    protocol = Protocol(query.identities, gallery.identities, query.cameras, gallery.cameras, shape)
    check_max_rank(max_rank)
    kept = protocol.kept
    distances = Distances(query.features, gallery.features[kept])
    if distances.is_hard:
        name, row = distances.farthest()
        raise UserError(
            f"{name} features in row {row} are so far from the others that float32, in which an "
            "index works, would tell the others hardly apart; fix that row, or leave out "
            "faiss_index"
        )
    found = find(*distances.prepared(), min(top_n, len(kept)), index, nprobe)
    found = np.where(found < 0, -1, kept[found])
    per_query = QueryMetrics(protocol, first_images)
    for i, images in enumerate(found):
        images = images[images >= 0]
        if first_images:
            per_query.add_found(i, images)
        if not protocol.counts[i]:
            continue
        others = np.cumsum(protocol.gallery_ids[images] != protocol.query_ids[i])
        seen = others[np.isin(images, protocol.matches(i))]
        missed = np.full(protocol.counts[i] - len(seen), NEVER)
        per_query.add_one(i, np.concatenate([seen, missed]))
    metrics = per_query.metrics(max_rank)
    first = metrics.first_match
    return replace(metrics, first_match=np.where(first >= NEVER, np.inf, first))
