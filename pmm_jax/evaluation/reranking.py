"""Re-ranking by k-reciprocal neighbors (Zhong et al., CVPR 2017), with sparse sets.

The published code holds several N x N matrices over query and gallery together. Here each image
has its k nearest neighbors and a sparse row of weights, and a query's distances to the gallery
exist for a few queries at a time: memory grows with N k. On an accelerator the sets and their
distances are device_reranking.py's; both forms start from the same neighbors, to the last one.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp

from pmm_jax.errors import UserError
from pmm_jax.evaluation.device_reranking import device_rows, half_size
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.nearest_sets import nearest_sets
from pmm_jax.evaluation.neighbors import Neighbors, distance_rows
from pmm_jax.runtime import on_cpu

ROWS = 512
"""Images whose sets are compared at once."""
VALUES = 1 << 24
"""Distances of a few queries to the gallery that are held at once: 64 MiB."""


def reranked_rows(
    query: np.ndarray,
    gallery: np.ndarray,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[np.ndarray]:
    """Each query's distances to the gallery after re-ranking, in order.

    (1 - weight) * Jaccard distance of the k-reciprocal sets + weight * squared Euclidean distance
    over that of the farthest image, as in the published code.

    Args:
        query: (Q, D) float32 or float64, finite.
        gallery: (G, D) float32 or float64, finite, without junk.
        k1: neighbors that may be reciprocal.
        k2: neighbors whose sets are averaged (local query expansion); 1 for none.
        weight: of the original distance, between 0 and 1 (lambda in the paper).
        progress: as of `nearest_among`.

    Yields:
        (G,) float32, or float64 where float32 would tell few images apart.

    Raises:
        UserError: k1 or k2 outside the images, or a weight outside 0 to 1.

    Example:
        >>> from pmm_jax.evaluation import evaluate_distances
        >>> from pmm_jax.evaluation.reranking import reranked_rows
        >>> rows = np.stack(list(reranked_rows(query.features, gallery.features, k1=4, k2=2)))
        >>> metrics = evaluate_distances(
        ...     rows, query.identities, gallery.identities, query.cameras, gallery.cameras
        ... )
        >>> round(metrics.mAP, 3)  # 0.959 without re-ranking
        0.981
    """
    check_neighbor_sets(k1, k2, len(query) + len(gallery))
    if not 0 <= weight <= 1:
        raise UserError(f"the weight of the original distance is {weight}; it must be 0 to 1")
    images = np.concatenate([query, gallery])
    both = Distances(images, images)
    # Of any unit and origin: only ratios of distances count.
    features = both.prepared()[0]
    near = nearest_sets(both, features, (k2, half_size(k1), k1 + 1), progress)
    # Where all images are one point, every distance is 0 over whatever.
    near = near._replace(farthest=np.where(near.farthest > 0, near.farthest, 1))
    # A TPU has no float64, and where float32 won't do, the host is nearly as fast as a GPU.
    is_sparse = on_cpu() or features.dtype == np.float64
    yield from (sparse_rows if is_sparse else device_rows)(features, near, len(query), k2, weight)


def sparse_rows(
    features: np.ndarray, near: Neighbors, queries: int, k2: int, weight: float
) -> Iterator[np.ndarray]:
    """Each query's row by sparse matrices on the host.

    Args:
        features: (N, D), queries first, as `Distances.prepared` gives them.
        near: the k1 + 1 nearest of each.
        queries: how many of them are queries.
        k2: as of `reranked_rows`.
        weight: likewise.

    Yields:
        As `reranked_rows`.
    """
    sets = weights(features, near, expanded_sets(near.indices))
    if k2 > 1:
        sets = _averaged(near.indices[:, :k2]) @ sets
    by_member = sets[queries:].tocsc()
    query, gallery = features[:queries], features[queries:]
    blocks = distance_rows(query, gallery, max(1, VALUES // len(gallery)))
    for i, row in enumerate(itertools.chain.from_iterable(blocks)):
        row *= weight / near.farthest[i]
        row += (1 - weight) * jaccard_distances(sets[[i]], by_member)
        yield row


def check_neighbor_sets(k1: int, k2: int, images: int) -> None:
    """Refuse neighbors that so many query and gallery images don't have.

    Raises:
        UserError: k1 or k2 doesn't fit.
    """
    if not 1 <= k2 <= k1 < images:
        raise UserError(
            f"re-ranking with k1 = {k1} and k2 = {k2} needs 1 <= k2 <= k1 < {images}, the number "
            "of query and gallery images"
        )


def reciprocal(indices: np.ndarray) -> np.ndarray:
    """(N, k) bool: whether i is among the k nearest of its own neighbor indices[i, j], too."""
    result = np.empty(indices.shape, bool)
    for start in range(0, len(indices), ROWS):
        mine = indices[start : start + ROWS]
        own = np.arange(start, start + len(mine))
        result[start : start + ROWS] = (indices[mine] == own[:, None, None]).any(2)
    return result


def expanded_sets(indices: np.ndarray) -> sp.csr_array:
    """(N, N) of ones: each image's k-reciprocal set, expanded (equations 3 to 5 of the paper).

    A member's own set of half the size joins where more than two thirds of it is in already.

    Args:
        indices: (N, k1 + 1) nearest neighbors, the image itself among them.
    """
    half = half_size(indices.shape[1] - 1)
    is_mutual, is_mutual_half = reciprocal(indices), reciprocal(indices[:, :half])
    rows, columns = [], []
    for start in range(0, len(indices), ROWS):
        some = slice(start, start + ROWS)
        mine, mutual = indices[some], is_mutual[some]
        theirs, theirs_mutual = indices[mine][:, :, :half], is_mutual_half[mine]
        known = np.where(mutual, mine, -1)[:, None, None, :]
        shared = ((theirs[..., None] == known).any(-1) & theirs_mutual).sum(-1)
        joins = mutual & (shared > 2 / 3 * theirs_mutual.sum(-1))
        added = joins[..., None] & theirs_mutual
        rows += [start + np.nonzero(mutual)[0], start + np.nonzero(added)[0]]
        columns += [mine[mutual], theirs[added]]
    row, column = np.concatenate(rows), np.concatenate(columns)
    count = len(indices)
    members = sp.csr_array((np.ones(len(row), np.float32), (row, column)), (count, count))
    members.sum_duplicates()
    members.data[:] = 1
    return members


def weights(features: np.ndarray, near: Neighbors, sets: sp.csr_array) -> sp.csr_array:
    """The sets with weights that sum to 1 a row: exp(-distance), over that of the farthest image.

    Args:
        features: (N, D) float32 or float64.
        near: of these embeddings.
        sets: (N, N) of ones.
    """
    rows = np.repeat(np.arange(len(features)), np.diff(sets.indptr))
    distances = _known(near, rows, sets.indices)
    every = np.flatnonzero(np.isnan(distances))
    for start in range(0, len(every), ROWS):
        unknown = every[start : start + ROWS]
        difference = features[rows[unknown]] - features[sets.indices[unknown]]
        distances[unknown] = np.einsum("nd,nd->n", difference, difference)
    values = np.exp(-distances / near.farthest[rows])
    values /= np.bincount(rows, values, len(features))[rows]
    return sp.csr_array((values.astype(np.float32), sets.indices, sets.indptr), sets.shape)


def jaccard_distances(one: sp.csr_array, by_member: sp.csc_array) -> np.ndarray:
    """(G,): 1 - sum of minima / sum of maxima, of one row of weights with G others.

    Args:
        one: (1, N) weights that sum to 1.
        by_member: (G, N) alike, stored by column.
    """
    starts = by_member.indptr[one.indices]
    lengths = by_member.indptr[one.indices + 1] - starts
    # The entries of the columns in which `one` has any, one after the other.
    ends = np.cumsum(lengths)
    at = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    smaller = np.minimum(np.repeat(one.data, lengths), by_member.data[at])
    shared = np.bincount(by_member.indices[at], smaller, by_member.shape[0])
    return 1 - shared / (2 - shared)


def _known(near: Neighbors, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The distances of those pairs that are neighbors, NaN for the others."""
    count, k = near.indices.shape
    keys = (np.arange(count)[:, None] * count + near.indices).ravel()
    order = np.argsort(keys)
    wanted = rows.astype(np.int64) * count + columns
    at = order[np.minimum(np.searchsorted(keys[order], wanted), count * k - 1)]
    return np.where(keys[at] == wanted, near.distances.ravel()[at], np.float32(np.nan))


def _averaged(indices: np.ndarray) -> sp.csr_array:
    count, k = indices.shape
    values = np.full(count * k, 1 / k, np.float32)
    return sp.csr_array((values, indices.ravel(), np.arange(0, count * k + 1, k)), (count, count))
