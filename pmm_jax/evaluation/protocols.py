"""Protocols besides Market-1501's: several images a query, a single shot, no cameras."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.embeddings import Embeddings, evaluate_embeddings
from pmm_jax.evaluation.market_protocol import JUNK
from pmm_jax.evaluation.metrics import CUTOFF, RankingMetrics

Pooling = Literal["average", "max"]
NOBODY = np.iinfo(np.int64).min
"""A camera that no gallery image has."""


def without_cameras(query: Embeddings, gallery: Embeddings) -> tuple[Embeddings, Embeddings]:
    """Copy with unknown cameras, so that no match is removed but the query image itself.

    Whatever the cameras were, each image gets one of its own. A query image is in the gallery, too,
    where the two are one object, or where both have paths and it has the same path there.
    """
    count = len(query.identities)
    if query is gallery:
        alone = replace(query, cameras=-1 - np.arange(count))
        return alone, alone
    numbers = np.arange(count + len(gallery.identities))
    if query.paths is not None and gallery.paths is not None:
        both = np.concatenate([query.paths, gallery.paths])
        numbers = np.unique(both, return_inverse=True)[1].ravel()
    own, others = np.split(-1 - numbers, [count])
    return replace(query, cameras=own), replace(gallery, cameras=others)


def has_no_cameras(images: Embeddings) -> bool:
    """Whether no image's camera is known."""
    return bool((np.asarray(images.cameras) < 0).all())


def multi_query(query: Embeddings, gallery: Embeddings, pooling: Pooling) -> Embeddings:
    """One query for each identity and camera, pooled over all its images (Zheng et al., ICCV 2015).

    Args:
        query: every image of each query person and camera; Market-1501 has more in gt_bbox. Where
            cameras are unknown, all images of an identity are one query.
        gallery: what it will be compared with.
        pooling: mean or largest value of each dimension.

    Returns:
        In order of identity, then camera; the path is that of the first image.

    Raises:
        UserError: images of an unknown camera that are in the gallery too, and would find
            themselves.
    """
    unknown = query.cameras < 0
    if np.isin(query.cameras[unknown], gallery.cameras).any():
        raise UserError(
            "query images of unknown cameras are in the gallery too, and pooled they would find "
            "themselves; give query images of their own, or cameras, or leave out multi_query"
        )
    pairs = np.stack([query.identities, np.where(unknown, NOBODY, query.cameras)], axis=1)
    groups, group = np.unique(pairs, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    starts = np.searchsorted(group.ravel()[order], np.arange(len(groups)))
    pool = np.add if pooling == "average" else np.maximum
    # In float64, so that pooling rounds no two apart embeddings to one.
    features = pool.reduceat(query.features[order].astype(np.float64), starts)
    if pooling == "average":
        features /= np.diff(starts, append=len(order))[:, None]
    return replace(
        query,
        features=features,
        identities=groups[:, 0],
        cameras=groups[:, 1],
        paths=None if query.paths is None else query.paths[order[starts]],
    )


def evaluate_single_shot(  # noqa: PLR0913
    query: Embeddings,
    gallery: Embeddings,
    num_repeats: int,
    seed: int,
    query_block: int = 512,
    progress: Callable[[int, int], None] | None = None,
    max_rank: int = 50,
) -> RankingMetrics:
    """CUHK03's classic protocol (Li et al., CVPR 2014): one gallery image of each identity.

    In each repeat, and for each camera of a query, one image of each identity is sampled from the
    other cameras; images of identity 0 are different people and all stay, unless a query has
    identity 0.
    Figures are means over the repeats.

    Args:
        query: Q images, all of them queries in each repeat.
        gallery: G images.
        num_repeats: how often the gallery is sampled.
        seed: of the sampling.
        query_block: as of `evaluate_embeddings`.
        progress: called with (repeats done, num_repeats).
        max_rank: length of the CMC, at least 10.

    Raises:
        UserError: as `evaluate_embeddings`, or fewer than one repeat.
    """
    if num_repeats < 1:
        raise UserError(f"single_shot is {num_repeats}; it must be at least 1")
    rng = np.random.default_rng(seed)
    # One sample serves all queries whose camera took nothing of the gallery.
    query_cameras = np.where(np.isin(query.cameras, gallery.cameras), query.cameras, NOBODY)
    # Images of identity 0 are different people, unless a query is of it.
    strangers = gallery.identities == 0
    strangers &= not (query.identities == 0).any()
    shape = num_repeats, len(query.features)
    firsts, precisions = np.full(shape, np.nan), np.full(shape, np.nan)
    for repeat in range(num_repeats):
        for camera in np.unique(query_cameras):
            mine = np.flatnonzero(query_cameras == camera)
            candidates = np.flatnonzero(gallery.cameras != camera)
            chosen = gallery.take(_one_of_each(gallery, candidates, strangers, rng))
            if not np.isin(query.identities[mine], chosen.identities).any():
                continue
            metrics = evaluate_embeddings(query.take(mine), chosen, query_block, max_rank=max_rank)
            firsts[repeat, mine] = metrics.first_match
            precisions[repeat, mine] = metrics.average_precision
        if progress is not None:
            progress(repeat + 1, num_repeats)
    counted = ~np.isnan(firsts).all(0)
    if not counted.any():
        evaluate_embeddings(query, gallery, query_block)  # says why no query has a match
        raise UserError("no query has a match in a single-shot gallery")
    ranks = np.arange(1, max_rank + 1)
    average = np.nanmean(precisions[:, counted], axis=0)
    first = np.nanmean(firsts[:, counted], axis=0)
    found = firsts[:, counted]
    # One match: its rank is the last match's too, so mINP is mAP.
    every = np.full(shape[1], np.nan)
    precision, rank = every.copy(), every.copy()
    precision[counted], rank[counted] = average, first
    early = np.where(found <= CUTOFF, precisions[:, counted], np.where(np.isnan(found), np.nan, 0))
    return RankingMetrics(
        cmc=np.array([np.nanmean(np.where(np.isnan(found), np.nan, found <= r)) for r in ranks]),
        mAP=float(average.mean()),
        mINP=float(average.mean()),
        evaluated=int(counted.sum()),
        mAP_at_50=float(np.nanmean(early)),
        average_precision=precision,
        inverse_negative_penalty=precision,
        first_match=rank,
    )


def _one_of_each(
    gallery: Embeddings, candidates: np.ndarray, strangers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Indices, ascending: of the candidates, one image of each identity, and all strangers."""
    people = rng.permutation(candidates[~strangers[candidates]])
    people = people[gallery.identities[people] != JUNK]
    _, first = np.unique(gallery.identities[people], return_index=True)
    return np.sort(np.concatenate([people[first], candidates[strangers[candidates]]]))
