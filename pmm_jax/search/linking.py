"""Tracklets of several cameras to identities: agglomerative clustering with a calibrated threshold.

The distance of two tracklets is that of their mean embeddings, in which what changes from image to
image averages out; that of two groups of tracklets is the root mean square over their pairs,
weighed by the numbers of images.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from pmm_jax.errors import UserError

MOST = 20_000
"""Tracklets at most: their distances, float32, take 1.6 GB then."""


class Tracklets(NamedTuple):
    """One camera's images of somebody who was followed, summed up; arrays of one entry each."""

    means: np.ndarray
    """(T, D) float32, of their images' embeddings."""
    counts: np.ndarray
    """(T,) images."""
    cameras: np.ndarray
    """(T,) integers."""
    starts: np.ndarray
    """(T,) time of the first image, in any unit; NaN where it is unknown."""
    ends: np.ndarray
    """(T,) of the last one."""


def sum_up(
    features: np.ndarray, tracklet: np.ndarray, cameras: np.ndarray, spans: np.ndarray
) -> Tracklets:
    """The tracklets of images.

    Args:
        features: (N, D) floating point, as their distance is taken (of unit length for cosine).
        tracklet: (N,) integers, 0 to T - 1; each has an image.
        cameras: (N,) integers, one a tracklet.
        spans: (N, 2) first and last time of each image; NaN where it is unknown.

    Raises:
        UserError: too many tracklets.
    """
    total = int(tracklet.max()) + 1
    if total > MOST:
        raise UserError(f"{total:,} tracklets are too many to link at once; give {MOST:,} or fewer")
    counts = np.bincount(tracklet)
    ones = np.ones(len(tracklet), features.dtype)
    members = sparse.csr_matrix((ones, (tracklet, np.arange(len(tracklet)))))
    means = (members @ features) / counts[:, None]
    first = np.full(total, np.inf)
    last = np.full(total, -np.inf)
    with np.errstate(invalid="ignore"):  # of NaN, which stays NaN
        np.minimum.at(first, tracklet, spans[:, 0])
        np.maximum.at(last, tracklet, spans[:, 1])
    owners = np.zeros(total, np.int64)
    owners[tracklet] = cameras
    return Tracklets(means.astype(np.float32), counts, owners, first, last)


def link(
    tracklets: Tracklets, threshold: float, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """Identities of tracklets: the two nearest groups are joined, again and again.

    Until no two groups are nearer than the threshold. Tracklets of one camera that share a moment
    are two people: they, and the groups that they are in, are never joined. Of equally near groups
    the first ones are joined. Takes T x T numbers of memory, and time in T^2 or little more.

    Args:
        tracklets: T of them.
        threshold: Euclidean distance of two images below which they show one person.
        progress: called with the number of tracklets that found their group since its last call.

    Returns:
        (T,) integers from 1 on, in order of each identity's first tracklet.

    Example:
        >>> from pmm_jax.search.linking import Tracklets, link
        >>> tracklets = Tracklets(
        ...     means=np.float32([[0.0], [0.1], [0.2], [5.0]]),
        ...     counts=np.array([9, 12, 7, 30]),
        ...     cameras=np.array([1, 1, 2, 2]),
        ...     starts=np.array([0.0, 5.0, 60.0, 90.0]),
        ...     ends=np.array([8.0, 9.0, 70.0, 99.0]),
        ... )
        >>> link(tracklets, threshold=1.0).tolist()  # the first two were seen at once
        [1, 2, 2, 3]
    """
    squares = _squares(tracklets)
    total, sizes = len(squares), tracklets.counts.astype(np.float32).copy()
    group = np.arange(total)
    nearest = squares.argmin(1)
    distance = squares[np.arange(total), nearest]
    limit = np.float32(threshold) ** 2
    while True:
        one = int(distance.argmin())
        if not distance[one] < limit:
            break
        one, other = sorted((one, int(nearest[one])))
        weights = sizes[[one, other]] / sizes[[one, other]].sum()
        # Infinity, of groups that can't be one, stays infinity.
        row = weights[0] * squares[one] + weights[1] * squares[other]
        row[[one, other]] = np.inf
        squares[one], squares[:, one] = row, row
        squares[other], squares[:, other] = np.inf, np.inf
        sizes[one] += sizes[other]
        group[group == other] = one
        distance[other] = np.inf
        changed = np.flatnonzero(np.isin(nearest, (one, other)) & np.isfinite(distance))
        for place in np.union1d(changed, one):
            nearest[place] = squares[place].argmin()
            distance[place] = squares[place, nearest[place]]
        if progress is not None:
            progress(1)
    _, identities = np.unique(group, return_inverse=True)
    return identities.ravel() + 1


def _squares(tracklets: Tracklets) -> np.ndarray:
    """(T, T) float32 squared distances; infinite where two can't be one person."""
    means = tracklets.means - tracklets.means.mean(0)  # keeps rounding small
    own = np.square(means).sum(1)
    squares = means @ means.T
    squares *= -2
    squares += own[:, None]
    squares += own[None]
    np.maximum(squares, 0, out=squares)
    squares[overlapping(tracklets)] = np.inf
    np.fill_diagonal(squares, np.inf)
    return squares


def overlapping(tracklets: Tracklets) -> np.ndarray:
    """(T, T) bool: which pairs are of one camera and share a moment."""
    starts, ends, cameras = tracklets.starts, tracklets.ends, tracklets.cameras
    shared = starts[:, None] <= ends[None]  # never of NaN
    return shared & shared.T & (cameras[:, None] == cameras[None])


class LinkFigures(NamedTuple):
    """How identities that were found fit the true ones; fractions."""

    precision: float
    """Of the pairs of tracklets that were put together, those of one person."""
    recall: float
    """Of the pairs of tracklets of one person, those that were put together."""
    f1: float
    """Harmonic mean of the two."""
    idf1: float
    """Images whose identity is right, when each identity found stands for at most one person
    (Ristani et al., 2016)."""


def link_figures(found: np.ndarray, true: np.ndarray, counts: np.ndarray) -> LinkFigures:
    """Compare identities of tracklets with the true ones.

    Args:
        found: (T,) integers.
        true: (T,) integers.
        counts: (T,) images of each tracklet.

    Example:
        >>> from pmm_jax.search.linking import link_figures
        >>> found, true = np.array([1, 1, 2, 3]), np.array([1, 1, 2, 2])
        >>> figures = link_figures(found, true, counts=np.array([9, 12, 7, 30]))
        >>> figures.precision, figures.recall, round(figures.idf1, 3)
        (1.0, 0.5, 0.879)
    """
    _, rows = np.unique(found, return_inverse=True)
    _, columns = np.unique(true, return_inverse=True)
    ones = np.ones(len(found))
    pairs = sparse.coo_matrix((ones, (rows.ravel(), columns.ravel()))).tocsr()
    right, put, same = (
        float((np.square(n) - n).sum()) / 2
        for n in (pairs.data, np.bincount(rows.ravel()), np.bincount(columns.ravel()))
    )
    images = sparse.coo_matrix((counts.astype(float), (rows.ravel(), columns.ravel()))).toarray()
    matched = images[linear_sum_assignment(images, maximize=True)].sum()
    precision, recall = right / put if put else 1.0, right / same if same else 1.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    # As many images are true as are found, so IDF1's precision and recall are one.
    return LinkFigures(precision, recall, f1, float(matched / counts.sum()))
