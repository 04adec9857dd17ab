"""Query expansion and database-side augmentation: embeddings averaged with their neighbors."""

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.neighbors import nearest

ROWS = 512
"""Embeddings whose neighbors are held at once."""


def unit_length(name: str, features: np.ndarray) -> np.ndarray:
    """Embeddings (N, D) of length 1, so that Euclidean distance orders as cosine does.

    As float64: in float32, images whose directions are close would tie.

    Raises:
        UserError: an embedding of length 0 has no direction.
    """
    result = features.astype(np.float64)
    # By its largest value first, whose square float64 holds.
    result /= np.where(features.any(1), np.abs(result).max(1), 1)[:, None]
    lengths = np.sqrt(np.einsum("nd,nd->n", result, result))[:, None]
    if not lengths.all():
        raise UserError(
            f"{name} features are all 0 in row {int(np.argmin(lengths))}, which has no cosine "
            "similarity to anything; fix the model, or rank by Euclidean distance"
        )
    result /= lengths
    return result


def expand_queries(query: np.ndarray, gallery: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """Alpha query expansion (Radenovic et al., TPAMI 2019, section 3.4).

    Each query becomes itself + the sum of similarity^alpha times each of its k nearest gallery
    images, at unit length; alpha 0 is plain average query expansion (Chum et al., ICCV 2007).

    Args:
        query: (Q, D) of unit length.
        gallery: (G, D) of unit length, without junk.
        k: neighbors.
        alpha: power of the cosine similarity; negative similarities count as 0.

    Returns:
        (Q, D) float64 of unit length.

    Raises:
        UserError: fewer than k gallery images.
    """
    return unit_length("expanded query", query + _neighbor_sums(query, gallery, k, alpha))


def augment_gallery(gallery: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """Database-side augmentation (Arandjelovic and Zisserman, CVPR 2012): expansion of the gallery.

    Args:
        gallery: (G, D) of unit length, without junk.
        k: neighbors, besides the image itself.
        alpha: as of `expand_queries`.

    Returns:
        (G, D) float64 of unit length.

    Raises:
        UserError: no more than k gallery images.
    """
    # Each is its own nearest neighbor, with weight 1.
    return unit_length("augmented gallery", _neighbor_sums(gallery, gallery, k + 1, alpha))


def check_neighbors(k: int, images: int) -> None:
    """Refuse to look for more neighbors, the image itself among them, than a gallery has images.

    Raises:
        UserError: k is too large.
    """
    if k > images:
        raise UserError(
            f"{k} neighbors of an image are wanted among {images} gallery images; lower "
            "query_expansion_k or dba_k"
        )


def _neighbor_sums(one: np.ndarray, other: np.ndarray, k: int, alpha: float) -> np.ndarray:
    check_neighbors(k, len(other))
    distances = Distances(one, other)
    near = nearest(*distances.prepared(), k)
    # Of unit vectors, |a - b|^2 = 2 - 2 cos.
    squares = near.distances * 4.0**distances.exponent
    similarity = np.clip(1 - squares / 2, 0, 1) ** alpha
    result = np.empty_like(one)
    for start in range(0, len(one), ROWS):
        some = slice(start, start + ROWS)
        np.einsum("nk,nkd->nd", similarity[some], other[near.indices[some]], out=result[some])
    return result
