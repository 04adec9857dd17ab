"""Images whose label is probably wrong: nearer to another identity than to their own.

A mislabeled image lies among images of other labels, and no training is needed to see it (Zhu et
al., Detecting Corrupted Labels Without Training a Model to Predict, ICML 2022). A vote of the
nearest neighbors, which is usual for classes of thousands, can't tell such an image from a hard one
of a person with three; the distances themselves can. docs/guides/evaluation.md has what was
compared.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.neighbors import nearest_among

NEIGHBORS = 20
"""Images among which another identity is looked for."""
SUPPORT = 3
"""Images that have to speak for another identity, where one is enough for the own: an image that
looks alike by chance, or has a wrong label itself, accuses no other."""

ROWS = 512
"""Images of one identity that are compared with all of it at once."""


class LabelErrors(NamedTuple):
    """E images nearer to another identity than to the rest of their own, the surest first."""

    images: np.ndarray
    """(E,) int64 rows."""
    margins: np.ndarray
    """(E,) float64, (own - other) / (own + other): above 0, at most 1."""
    own: np.ndarray
    """(E,) float64: distance of the nearest image of the own identity."""
    other: np.ndarray
    """(E,) float64: mean distance of the three nearest of the identity that the image looks
    like."""
    nearest_own: np.ndarray
    """(E,) int64: row of the nearest image of the own identity."""
    nearest_other: np.ndarray
    """(E,) int64: row of the nearest image of the identity that the image looks like."""
    cameras: np.ndarray
    """(E,) int64: known cameras that have images of both identities."""
    agreeing: np.ndarray
    """(E,) int64: those of them whose nearest image is of the other identity."""


def label_errors(
    features: np.ndarray, identities: np.ndarray, cameras: np.ndarray, limit: int = 500
) -> LabelErrors:
    """Rank the images that are nearer to another identity than to their own.

    Another identity's image that isn't among the NEIGHBORS nearest counts as far as the last of
    these.

    Args:
        features: (N, D) float32 or float64, finite; N >= 2.
        identities: (N,) integers, each one person. The only image of an identity is not listed.
        cameras: (N,) integers; negative where unknown.
        limit: images listed, at most.

    Example:
        >>> from pmm_jax.evaluation.label_errors import label_errors
        >>> identities = gallery.identities.copy()
        >>> identities[5] = identities[0]  # a wrong label
        >>> found = label_errors(gallery.features, identities, gallery.cameras)
        >>> found.images, identities[found.nearest_other]  # who it looks like
        (array([5]), array([2]))
    """
    distances = Distances(features, features)
    prepared, _ = distances.prepared()
    other, nearest_other = _others(prepared, identities)
    own, nearest_own = _own(prepared, identities)
    listed = np.flatnonzero(own > other)  # never of an image without either
    own, other = own[listed], other[listed]
    margins = (own - other) / (own + other)
    order = np.argsort(-margins, kind="stable")[:limit]
    images = listed[order]
    counts = [_cameras(prepared, identities, cameras, i, nearest_other[i]) for i in images]
    agreeing, both = np.array(counts, np.int64).reshape(-1, 2).T
    return LabelErrors(
        images=images,
        margins=margins[order],
        own=np.ldexp(own[order], distances.exponent),
        other=np.ldexp(other[order], distances.exponent),
        nearest_own=nearest_own[images],
        nearest_other=nearest_other[images],
        cameras=both,
        agreeing=agreeing,
    )


def sample_identities(identities: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Rows, ascending, of all images of as many identities as fit the limit, at random.

    Of one identity more, as many images as still fit.
    """
    names, identity = np.unique(identities, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))
    return np.sort(np.argsort(place[identity.ravel()], kind="stable")[:limit])


def _others(features: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) distance of the nearest other identity, infinite where none is near; its image."""
    count = len(features)
    found = nearest_among(features, min(NEIGHBORS + 1, count))
    # Itself last, to be dropped; of many equal images another one may stand for it.
    itself = found.indices == np.arange(count)[:, None]
    order = np.argsort(itself, axis=1, kind="stable")[:, :-1]
    near = np.take_along_axis(found.indices, order, 1)
    distance = np.sqrt(np.take_along_axis(found.distances, order, 1))
    labels = identities[near]
    same = labels[:, :, None] == labels[:, None, :]
    nearer = np.tril(same, -1).sum(2)
    same &= (nearer < SUPPORT)[:, None]
    mean = np.einsum("nab,nb->na", same, distance)
    mean = (mean + (SUPPORT - same.sum(2)) * distance[:, -1:]) / SUPPORT
    mean[labels == identities[:, None]] = np.inf
    best = mean.argmin(1)[:, None]
    return np.take_along_axis(mean, best, 1)[:, 0], np.take_along_axis(near, best, 1)[:, 0]


def _own(features: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) distance of the nearest image of the own identity, NaN without one; that image."""
    distance, nearest = np.full(len(features), np.nan), np.full(len(features), -1)
    order = np.argsort(identities, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(identities[order])) + 1):
        for start in range(0, len(rows) if len(rows) > 1 else 0, ROWS):
            some = rows[start : start + ROWS]
            found = cdist(features[some], features[rows])
            found[np.arange(len(some)), start + np.arange(len(some))] = np.inf  # itself
            distance[some], nearest[some] = found.min(1), rows[found.argmin(1)]
    return distance, nearest


def _cameras(
    features: np.ndarray, identities: np.ndarray, cameras: np.ndarray, image: int, other: int
) -> tuple[int, int]:
    """Cameras from which an image looks like the other's identity, and those that have both."""
    rows = np.flatnonzero(np.isin(identities, identities[[image, other]]) & (cameras >= 0))
    rows = rows[rows != image]
    distance = np.linalg.norm(features[rows] - features[image], axis=1)
    is_own = identities[rows] == identities[image]
    agreeing = both = 0
    for camera in np.unique(cameras[rows]):
        seen = cameras[rows] == camera
        sides = distance[seen & is_own], distance[seen & ~is_own]
        if all(map(len, sides)):
            both += 1
            agreeing += int(sides[1].min() < sides[0].min())
    return agreeing, both
