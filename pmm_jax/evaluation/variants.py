"""Protocols besides Market-1501's: several images a query, a single shot, no cameras."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.embeddings import Embeddings, evaluate_embeddings
from pmm_jax.evaluation.ranking import Ranking

Pooling = Literal["average", "max"]


def take(images: Embeddings, rows: np.ndarray) -> Embeddings:
    """Some of the images: indices, or a mask."""
    return Embeddings(images.features[rows], images.identities[rows], images.cameras[rows])


def without_cameras(query: Embeddings, gallery: Embeddings) -> tuple[Embeddings, Embeddings]:
    """The same with cameras numbered apart, so that no match is removed."""
    zeros, ones = np.zeros(len(query.features), int), np.ones(len(gallery.features), int)
    return (
        Embeddings(query.features, query.identities, zeros),
        Embeddings(gallery.features, gallery.identities, ones),
    )


def leave_one_out(images: Embeddings) -> tuple[Embeddings, Embeddings]:
    """Query and gallery where every image asks for all the others: each has its own camera."""
    apart = Embeddings(images.features, images.identities, np.arange(len(images.features)))
    return apart, apart


def multi_query(query: Embeddings, pooling: Pooling) -> Embeddings:
    """One query for each identity and camera, pooled over all its images (Zheng et al., ICCV 2015).

    Args:
        query: every image of each query person and camera; Market-1501 has more in gt_bbox.
        pooling: mean or largest value of each dimension.

    Returns:
        In order of identity, then camera.
    """
    pairs = np.stack([query.identities, query.cameras], axis=1)
    groups, group = np.unique(pairs, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    starts = np.searchsorted(group.ravel()[order], np.arange(len(groups)))
    pool = np.add if pooling == "average" else np.maximum
    features = pool.reduceat(query.features[order], starts)
    if pooling == "average":
        features /= np.diff(starts, append=len(order))[:, None]
    return Embeddings(features.astype(np.float32, copy=False), groups[:, 0], groups[:, 1])


def single_shot(
    query: Embeddings,
    gallery: Embeddings,
    draws: int,
    seed: int,
    chunk: int = 512,
    progress: Callable[[int, int], None] | None = None,
    max_rank: int = 50,
) -> Ranking:
    """CUHK03's classic protocol (Li et al., CVPR 2014): one gallery image of each identity.

    In each draw, and for each camera that asks, one image of each identity is drawn from the other
    cameras; images of identity 0 are different people and all stay. Figures are means over the
    draws.

    Args:
        query: Q images; of each draw all are asked.
        gallery: G images.
        draws: how often the gallery is drawn.
        seed: of the draws.
        chunk: as of `evaluate_embeddings`.
        progress: called with (draws done, draws).
        max_rank: length of the CMC, at least 10.

    Raises:
        UserError: as `evaluate_embeddings`, or fewer than one draw.
    """
    if draws < 1:
        raise UserError(f"single_shot is {draws}; it must be at least 1 draw")
    rng = np.random.default_rng(seed)
    shape = draws, len(query.features)
    firsts, precisions = np.full(shape, np.nan), np.full(shape, np.nan)
    for draw in range(draws):
        for camera in np.unique(query.cameras):
            mine = np.flatnonzero(query.cameras == camera)
            chosen = take(gallery, _one_of_each(gallery, camera, rng))
            if not np.isin(query.identities[mine], chosen.identities).any():
                continue
            ranking = evaluate_embeddings(take(query, mine), chosen, chunk, max_rank=max_rank)
            firsts[draw, mine] = ranking.first_match
            precisions[draw, mine] = ranking.average_precision
        if progress is not None:
            progress(draw + 1, draws)
    counted = ~np.isnan(firsts).all(0)
    if not counted.any():
        evaluate_embeddings(query, gallery, chunk)  # says why no query has a match
        raise UserError("no query has a match in a single-shot gallery")
    ranks = np.arange(1, max_rank + 1)
    average = np.nanmean(precisions[:, counted], axis=0)
    first = np.nanmean(firsts[:, counted], axis=0)
    found = firsts[:, counted]
    # One match: its rank is the last match's too, so mINP is mAP.
    every = np.full(shape[1], np.nan)
    precision, rank = every.copy(), every.copy()
    precision[counted], rank[counted] = average, first
    release = np.where(found <= 50, precisions[:, counted], np.where(np.isnan(found), np.nan, 0))
    return Ranking(
        cmc=np.array([np.nanmean(np.where(np.isnan(found), np.nan, found <= r)) for r in ranks]),
        mAP=float(average.mean()),
        mINP=float(average.mean()),
        evaluated=int(counted.sum()),
        release_mAP=float(np.nanmean(release)),
        average_precision=precision,
        inverse_negative_penalty=precision,
        first_match=rank,
    )


def _one_of_each(gallery: Embeddings, camera: int, rng: np.random.Generator) -> np.ndarray:
    """Indices, ascending: one image of each identity not taken by the camera, all of identity 0."""
    others = rng.permutation(np.flatnonzero(gallery.cameras != camera))
    identities = gallery.identities[others]
    _, first = np.unique(identities, return_index=True)
    people = others[first][identities[first] > 0]
    return np.sort(np.concatenate([people, others[identities == 0]]))
