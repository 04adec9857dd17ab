"""Metrics of each pair of query and gallery cameras (Zheng et al., ICCV 2015, fig. 8)."""

from dataclasses import dataclass

import numpy as np

from pmm_jax.evaluation.embeddings import Embeddings, evaluate_embeddings


@dataclass(frozen=True, eq=False)
class CameraPairs:
    """Metrics of each pair of cameras; NaN where no query has a match."""

    query_cameras: np.ndarray
    """(A,) cameras of the queries, ascending."""
    gallery_cameras: np.ndarray
    """(B,) cameras of the gallery, ascending."""
    queries: np.ndarray
    """(A, B) int64: queries of the one camera with a match in the other."""
    rank1: np.ndarray
    """(A, B) float64, as a fraction."""
    mAP: np.ndarray
    """(A, B) float64, as a fraction."""


def camera_pairs(query: Embeddings, gallery: Embeddings, query_block: int = 512) -> CameraPairs:
    """Rank one gallery camera's images at a time, and part the queries by camera.

    Negative cameras are unknown, and left out.

    Args:
        query: Q images.
        gallery: G images.
        query_block: as of `evaluate_embeddings`.

    Raises:
        UserError: as of `evaluate_embeddings`.

    Example:
        >>> from pmm_jax.evaluation.camera_pairs import camera_pairs
        >>> pairs = camera_pairs(query, gallery)
        >>> pairs.gallery_cameras  # the columns
        array([1, 2, 3])
        >>> pairs.rank1.round(2)
        array([[ nan, 0.92, 0.83],
               [1.  ,  nan, 0.83],
               [1.  , 1.  ,  nan]])
    """
    query_cameras, gallery_cameras = (
        np.unique(s.cameras[s.cameras >= 0]) for s in (query, gallery)
    )
    shape = len(query_cameras), len(gallery_cameras)
    queries = np.zeros(shape, np.int64)
    rank1, mAP = np.full(shape, np.nan), np.full(shape, np.nan)
    for column, camera in enumerate(gallery_cameras):
        part = gallery.take(gallery.cameras == camera)
        if not np.isin(query.identities[query.cameras != camera], part.identities).any():
            continue
        metrics = evaluate_embeddings(query, part, query_block)
        for row, own in enumerate(query_cameras):
            mine = (query.cameras == own) & ~np.isnan(metrics.first_match)
            queries[row, column] = mine.sum()
            if mine.any():
                rank1[row, column] = np.mean(metrics.first_match[mine] == 1)
                mAP[row, column] = metrics.average_precision[mine].mean()
    if not queries.any():
        evaluate_embeddings(query, gallery, query_block)  # says why no query has a match
    return CameraPairs(query_cameras, gallery_cameras, queries, rank1, mAP)
