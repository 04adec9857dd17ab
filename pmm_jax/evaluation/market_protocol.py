"""Market-1501's protocol: a query's matches, and the gallery images it ignores."""

import numpy as np
import numpy.typing as npt

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import integer_labels

JUNK = -1
"""Identity of gallery images that are dropped: Market-1501's bad detections. Identity 0 is none of
these; it names people outside the query set, who stay as distractors."""


class Protocol:
    """The protocol of Market-1501 and its successors (Zheng et al., ICCV 2015).

    Gallery images with identity -1 are dropped. For each query, gallery images of its identity
    taken by its own camera are removed; those of its identity from other cameras are its matches.
    So among the images that a query ranks, those of its own identity are its matches and nothing
    else: a match's rank is one more than the other matches and the images of other identities
    before it. No list of all matches is kept: identities with many images have millions.

    Attributes:
        queries: count of queries, Q.
        images: length of the whole gallery, G.
        query_ids: (Q,) int64.
        gallery_ids: (G,) int64.
        kept: ascending indices of the gallery images that aren't junk.
        counts: (Q,) int64, matches of each query.
        same_identity_counts: (Q,) int64, gallery images of each query's identity, of any camera.
    """

    def __init__(
        self,
        query_ids: npt.ArrayLike,
        gallery_ids: npt.ArrayLike,
        query_cameras: npt.ArrayLike,
        gallery_cameras: npt.ArrayLike,
        shape: tuple[int, int],
    ) -> None:
        """Check and index the labels of a (Q, G) distance matrix.

        Raises:
            UserError: labels that don't fit the shape, or no query with a match.
        """
        self.queries, self.images = shape
        rows, columns = "query (row of distances)", "gallery image (column of distances)"
        self.query_ids = integer_labels("query_ids", query_ids, self.queries, rows)
        self._own = integer_labels("query_cameras", query_cameras, self.queries, rows)
        self.gallery_ids = integer_labels("gallery_ids", gallery_ids, self.images, columns)
        self._cameras = integer_labels("gallery_cameras", gallery_cameras, self.images, columns)
        self.kept = np.flatnonzero(self.gallery_ids != JUNK)
        # Stable, so that the images of one identity stay in gallery order.
        self._by_identity = np.argsort(self.gallery_ids, kind="stable")
        self._start, self._end = _found(self.gallery_ids[self._by_identity], self.query_ids)
        self._end[self.query_ids == JUNK] = self._start[self.query_ids == JUNK]
        self.same_identity_counts = self._end - self._start
        self.counts = self.same_identity_counts - self._removed()
        if not self.counts.any():
            self._refuse(bool(self.same_identity_counts.any()))

    def same_identity(self, query: int) -> np.ndarray:
        """Gallery indices of all images of a query's identity, of any camera; ascending."""
        return self._by_identity[self._start[query] : self._end[query]]

    def matches(self, query: int) -> np.ndarray:
        """Gallery indices of a query's matches, ascending."""
        images = self.same_identity(query)
        return images[self._cameras[images] != self._own[query]]

    def others(self, query: int) -> np.ndarray:
        """Gallery indices of images of other identities, without junk; ascending."""
        return self.kept[self.gallery_ids[self.kept] != self.query_ids[query]]

    def _removed(self) -> np.ndarray:
        """(Q,) int64: gallery images of both identity and camera of each query."""
        identities, identity = np.unique(self.gallery_ids, return_inverse=True)
        cameras, camera = np.unique(self._cameras, return_inverse=True)
        pairs = np.sort(identity.ravel() * len(cameras) + camera.ravel())
        wanted = np.searchsorted(identities, self.query_ids) * len(cameras)
        wanted += np.searchsorted(cameras, self._own)
        start, end = _found(pairs, wanted)
        # What the gallery hasn't got, searchsorted places at somebody else's.
        known = np.isin(self._own, cameras) & (self.same_identity_counts > 0)
        return np.where(known, end - start, 0)

    def _refuse(self, had_any: bool) -> None:
        if had_any:
            raise UserError(
                "no query has a match: the same-camera rule removed every gallery image that "
                "shares a query's identity, because it shares its camera too; give images from "
                "other cameras or, where cameras are unknown, turn the rule off (no-cameras)"
            )
        raise UserError(
            f"no query has a match: none of the {len(self.kept)} gallery images "
            "(identity -1 dropped) shares a query's identity; check that query and gallery come "
            "from the same data set and number identities alike"
        )


def _found(ordered: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each value in a sorted array."""
    return np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
