"""Query expansion and database-side augmentation: embeddings averaged with their neighbours."""

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.neighbours import nearest

ROWS = 512
"""Embeddings whose neighbours are held at once."""


def unit_length(name: str, features: np.ndarray) -> np.ndarray:
    """Embeddings (N, D) float32 of length 1, so that Euclidean distance orders as cosine does.

    Raises:
        UserError: an embedding of length 0 has no direction.
    """
    # In float64, which holds the squares of any float32.
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))[:, None]
    if not lengths.all():
        raise UserError(
            f"{name} features are all 0 in row {int(np.argmin(lengths))}, which has no cosine "
            "similarity to anything; mend the model, or rank by Euclidean distance"
        )
    return (features / lengths).astype(np.float32)


def expand_queries(query: np.ndarray, gallery: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """Alpha query expansion (Radenovic et al., TPAMI 2019, section 3.4).

    Each query becomes itself + the sum of similarity^alpha times each of its k nearest gallery
    images, at unit length; alpha 0 is plain average query expansion (Chum et al., ICCV 2007).

    Args:
        query: (Q, D) float32, of unit length.
        gallery: (G, D) float32, of unit length, without junk.
        k: neighbours.
        alpha: power of the cosine similarity; negative similarities count as 0.

    Returns:
        (Q, D) float32 of unit length.

    Raises:
        UserError: fewer than k gallery images.
    """
    return unit_length("expanded query", query + _neighbour_sums(query, gallery, k, alpha))


def augment_gallery(gallery: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """Database-side augmentation (Arandjelovic and Zisserman, CVPR 2012): expansion of the gallery.

    Args:
        gallery: (G, D) float32, of unit length, without junk.
        k: neighbours, besides the image itself.
        alpha: as of `expand_queries`.

    Returns:
        (G, D) float32 of unit length.

    Raises:
        UserError: no more than k gallery images.
    """
    # Each is its own nearest neighbour, with weight 1.
    return unit_length("augmented gallery", _neighbour_sums(gallery, gallery, k + 1, alpha))


def check_neighbours(k: int, images: int) -> None:
    """Refuse to look for more neighbours, the image itself among them, than a gallery has images.

    Raises:
        UserError: k is too large.
    """
    if k > images:
        raise UserError(
            f"{k} neighbours of an image are wanted among {images} gallery images; lower "
            "expand_queries or augment_gallery"
        )


def _neighbour_sums(one: np.ndarray, other: np.ndarray, k: int, alpha: float) -> np.ndarray:
    check_neighbours(k, len(other))
    near = nearest(one, other, k)
    # Of unit vectors, |a - b|^2 = 2 - 2 cos.
    similarity = np.clip(1 - near.distances / 2, 0, 1) ** np.float32(alpha)
    result = np.empty_like(one)
    for start in range(0, len(one), ROWS):
        some = slice(start, start + ROWS)
        np.einsum("nk,nkd->nd", similarity[some], other[near.indices[some]], out=result[some])
    return result
