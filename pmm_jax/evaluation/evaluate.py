"""Evaluate embeddings by any protocol: the entry point of all evaluations."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pmm_jax.config import RankConfig
from pmm_jax.config_check import check_ranking
from pmm_jax.distributed.processes import ProcessShard
from pmm_jax.evaluation.approximate import check_index, evaluate_approximately
from pmm_jax.evaluation.embeddings import Embeddings, evaluate_embeddings, labeled, validated
from pmm_jax.evaluation.expansion import (
    augment_gallery,
    check_neighbors,
    expand_queries,
    unit_length,
)
from pmm_jax.evaluation.market_protocol import JUNK, Protocol
from pmm_jax.evaluation.metrics import RankingMetrics, evaluate_rows
from pmm_jax.evaluation.protocols import evaluate_single_shot, multi_query, without_cameras
from pmm_jax.evaluation.reranking import check_neighbor_sets, reranked_rows


def check_protocol(  # noqa: PLR0913
    query_ids: npt.ArrayLike,
    query_cameras: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    gallery_cameras: npt.ArrayLike,
    settings: RankConfig,
    *,
    query_paths: Sequence[str] | None = None,
    gallery_paths: Sequence[str] | None = None,
    length: int | None = None,
) -> None:
    """Check, before any image is embedded, that these labels can be ranked by the settings.

    Args:
        query_ids: (Q,) integers.
        query_cameras: (Q,) integers.
        gallery_ids: (G,) integers.
        gallery_cameras: (G,) integers.
        settings: how the gallery will be ranked.
        query_paths: (Q,) of the images, which tell where a query is in the gallery, too.
        gallery_paths: (G,) likewise.
        length: of an embedding; without it an index is not tried.

    Raises:
        UserError: as `evaluate_ranking`, but for what the embeddings themselves decide.
    """
    query = _labels_alone(query_ids, query_cameras, query_paths)
    gallery = _labels_alone(gallery_ids, gallery_cameras, gallery_paths)
    query, gallery = _selected(query, gallery, settings)
    _check_possible(query, gallery, settings)
    if settings.faiss_index:
        check_index(settings.faiss_index, len(gallery.identities), length)


def preprocess_embeddings(
    query: Embeddings, gallery: Embeddings, settings: RankConfig
) -> tuple[Embeddings, Embeddings]:
    """Pool, normalize and expand query and gallery as the settings say.

    Raises:
        UserError: embeddings or settings that don't allow it.
    """
    is_one = query is gallery
    query = validated("query", query)
    query, gallery = _selected(query, query if is_one else validated("gallery", gallery), settings)
    _check_possible(query, gallery, settings)
    if settings.distance == "cosine":
        query = _with(query, unit_length("query", query.features))
        gallery = _with(gallery, unit_length("gallery", gallery.features))
    # Both look for neighbors among the embeddings as they were.
    raw_query, raw_gallery = query.features, gallery.features
    if settings.query_expansion_k:
        query = _with(
            query,
            expand_queries(raw_query, raw_gallery, settings.query_expansion_k, settings.qe_alpha),
        )
    if settings.dba_k:
        gallery = _with(gallery, augment_gallery(raw_gallery, settings.dba_k, settings.qe_alpha))
    return query, gallery


def evaluate_ranking(
    query: Embeddings,
    gallery: Embeddings,
    settings: RankConfig,
    query_block: int = 512,
    shard: ProcessShard | None = None,
) -> RankingMetrics:
    """Rank a gallery for every query by the given settings.

    Args:
        query: Q images.
        gallery: G images, embedded by the same model.
        settings: distance, protocol, expansion and re-ranking.
        query_block: as of `evaluate_embeddings`.
        shard: as of `evaluate_embeddings`; what has no shards is done by every process.

    Raises:
        UserError: embeddings or settings that don't allow it.

    Example:
        >>> from pmm_jax.config import RankConfig
        >>> from pmm_jax.evaluation.evaluate import evaluate_ranking
        >>> metrics = evaluate_ranking(query, gallery, RankConfig(rerank=True, k1=4, k2=2))
        >>> round(metrics.mAP, 3)  # 0.959 without re-ranking
        0.981
    """
    both = preprocess_embeddings(query, gallery, settings)
    return evaluate_preprocessed(*both, settings, query_block, shard=shard)


def evaluate_preprocessed(  # noqa: PLR0913
    query: Embeddings,
    gallery: Embeddings,
    settings: RankConfig,
    query_block: int = 512,
    progress: Callable[[int, int], None] | None = None,
    shard: ProcessShard | None = None,
    first_images: bool = False,
) -> RankingMetrics:
    """Rank embeddings from `preprocess_embeddings` by the given settings.

    Args:
        query: Q images.
        gallery: G images.
        settings: protocol and re-ranking.
        query_block: as of `evaluate_embeddings`.
        progress: called with (pieces of work done, all of them).
        shard: as of `evaluate_ranking`.
        first_images: tell which images come first, too; with single_shot there is no one gallery
            that could tell.

    Raises:
        UserError: as `evaluate_embeddings`, or settings that exclude each other.
    """
    check_ranking(settings)
    if settings.faiss_index:
        return evaluate_approximately(
            query,
            gallery,
            settings.faiss_index,
            settings.nprobe,
            settings.index_top_n,
            first_images=first_images,
        )
    if settings.single_shot:
        num_repeats, seed = settings.single_shot, settings.seed
        return evaluate_single_shot(query, gallery, num_repeats, seed, query_block, progress)
    if not settings.rerank:
        return evaluate_embeddings(
            query, gallery, query_block, progress, shard=shard, first_images=first_images
        )
    shape = len(query.features), len(gallery.features)
    protocol = Protocol(query.identities, gallery.identities, query.cameras, gallery.cameras, shape)
    rows = reranked_rows(
        query.features, gallery.features, settings.k1, settings.k2, settings.rerank_lambda, progress
    )
    return evaluate_rows(protocol, rows, 50, first_images)


def _labels_alone(
    identities: npt.ArrayLike, cameras: npt.ArrayLike, paths: Sequence[str] | None
) -> Embeddings:
    ids = np.asarray(identities)
    features = np.zeros((len(ids), 1), np.float32)
    known = None if paths is None else np.asarray(paths)
    return Embeddings(features, ids, np.asarray(cameras), known)


def _selected(
    query: Embeddings, gallery: Embeddings, settings: RankConfig
) -> tuple[Embeddings, Embeddings]:
    """Select and pool the images to compare, by their labels."""
    check_ranking(settings)
    is_one = query is gallery
    query = labeled("query", query)
    gallery = query if is_one else labeled("gallery", gallery)
    if not settings.cameras:
        query, gallery = without_cameras(query, gallery)
    if settings.multi_query != "none":
        query = multi_query(query, gallery, settings.multi_query)
    if (gallery.identities == JUNK).any():
        gallery = gallery.take(gallery.identities != JUNK)
    return query, gallery


def _check_possible(query: Embeddings, gallery: Embeddings, settings: RankConfig) -> None:
    """Refuse what these many images with these labels don't allow."""
    counts = len(query.identities), len(gallery.identities)
    Protocol(query.identities, gallery.identities, query.cameras, gallery.cameras, counts)
    # An image is its own nearest neighbor.
    for neighbors in (settings.query_expansion_k, settings.dba_k + 1):
        check_neighbors(neighbors, counts[1])
    if settings.rerank:
        check_neighbor_sets(settings.k1, settings.k2, sum(counts))


def _with(images: Embeddings, features: np.ndarray) -> Embeddings:
    return replace(images, features=features)
