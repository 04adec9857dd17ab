"""An evaluation as its settings say: from plain embeddings to a ranking."""

from collections.abc import Callable

import numpy as np

from pmm_jax.config import RankConfig
from pmm_jax.config_check import check_ranking
from pmm_jax.evaluation.approximate import evaluate_approximately
from pmm_jax.evaluation.embeddings import Embeddings, checked, evaluate_embeddings
from pmm_jax.evaluation.expansion import augment_gallery, expand_queries, unit_length
from pmm_jax.evaluation.protocol import JUNK, Protocol
from pmm_jax.evaluation.ranking import Ranking, rank_rows
from pmm_jax.evaluation.reranking import reranked_rows
from pmm_jax.evaluation.streaming import Share
from pmm_jax.evaluation.variants import multi_query, single_shot, take, without_cameras


def settled(
    query: Embeddings, gallery: Embeddings, settings: RankConfig
) -> tuple[Embeddings, Embeddings]:
    """Query and gallery as they are compared: pooled, of unit length, expanded.

    Raises:
        UserError: embeddings or settings that don't allow it.
    """
    check_ranking(settings)
    if not settings.cameras:
        query, gallery = without_cameras(query, gallery)
    query, gallery = checked("query", query), checked("gallery", gallery)
    if settings.multi_query != "none":
        query = multi_query(query, gallery, settings.multi_query)
    if (gallery.identities == JUNK).any():
        gallery = take(gallery, gallery.identities != JUNK)
    if settings.distance == "cosine" and len(gallery.features):
        query = _with(query, unit_length("query", query.features))
        gallery = _with(gallery, unit_length("gallery", gallery.features))
    # Both look for neighbours among the embeddings as they were.
    asked, found = query.features, gallery.features
    if settings.expand_queries:
        query = _with(query, expand_queries(asked, found, settings.expand_queries, settings.alpha))
    if settings.augment_gallery:
        gallery = _with(gallery, augment_gallery(found, settings.augment_gallery, settings.alpha))
    return query, gallery


def ranking(
    query: Embeddings,
    gallery: Embeddings,
    settings: RankConfig,
    chunk: int = 512,
    progress: Callable[[int, int], None] | None = None,
    share: Share | None = None,
) -> Ranking:
    """Rank a gallery that `settled` gave, as the settings say.

    Args:
        query: Q images.
        gallery: G images.
        settings: protocol and re-ranking.
        chunk: as of `evaluate_embeddings`.
        progress: called with (pieces of work done, all of them).
        share: as of `evaluate_embeddings`; what has no shares is done by every process.

    Raises:
        UserError: as `evaluate_embeddings`, or settings that exclude each other.
    """
    check_ranking(settings)
    if settings.index:
        return evaluate_approximately(
            query, gallery, settings.index, settings.probes, settings.depth
        )
    if settings.single_shot:
        draws, seed = settings.single_shot, settings.seed
        return single_shot(query, gallery, draws, seed, chunk, progress)
    if not settings.rerank:
        return evaluate_embeddings(query, gallery, chunk, progress, share=share)
    shape = len(query.features), len(gallery.features)
    protocol = Protocol(query.identities, gallery.identities, query.cameras, gallery.cameras, shape)
    rows = reranked_rows(
        query.features, gallery.features, settings.k1, settings.k2, settings.weight, progress
    )
    return rank_rows(protocol, rows, 50)


def _with(images: Embeddings, features: np.ndarray) -> Embeddings:
    return Embeddings(features, images.identities, images.cameras)
