"""Which gallery images count as a query's matches, and which are left out of its ranking."""

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
    before it.

    Attributes:
        queries: count of queries, Q.
        images: length of the whole gallery, G.
        query_ids: (Q,) int64.
        gallery_ids: (G,) int64.
        match_query: (M,) int64, the query of each match, ascending.
        match_image: (M,) int64, its gallery index, ascending within a query.
        same_identity_counts: (Q,) int64, gallery images of each query's identity, of any camera.
        first: (Q + 1,) int64: matches first[q] to first[q + 1] are those of query q.
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
        asked_by = integer_labels("query_cameras", query_cameras, self.queries, rows)
        self.gallery_ids = integer_labels("gallery_ids", gallery_ids, self.images, columns)
        taken_by = integer_labels("gallery_cameras", gallery_cameras, self.images, columns)
        # Stable, so that the images of one identity stay in gallery order.
        self._by_identity = np.argsort(self.gallery_ids, kind="stable")
        identities = self.gallery_ids[self._by_identity]
        self._start = np.searchsorted(identities, self.query_ids, side="left")
        self._end = np.searchsorted(identities, self.query_ids, side="right")
        self._end[self.query_ids == JUNK] = self._start[self.query_ids == JUNK]
        self.same_identity_counts = self._end - self._start
        query, image = self._same_identity()
        other_camera = asked_by[query] != taken_by[image]
        self.match_query, self.match_image = query[other_camera], image[other_camera]
        counts = np.bincount(self.match_query, minlength=self.queries)
        self.first = np.concatenate([[0], np.cumsum(counts)])
        if not len(self.match_query):
            self._refuse(bool(len(query)))

    def same_identity(self, query: int) -> np.ndarray:
        """Gallery indices of all images of a query's identity, of any camera; ascending."""
        return self._by_identity[self._start[query] : self._end[query]]

    def _same_identity(self) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of a query and a gallery image of its identity."""
        counts = self.same_identity_counts
        query = np.repeat(np.arange(self.queries), counts)
        within = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        return query, self._by_identity[self._start[query] + within]

    def _refuse(self, had_any: bool) -> None:
        if had_any:
            raise UserError(
                "no query has a match: the same-camera rule removed every gallery image that "
                "shares a query's identity, because it shares its camera too; give images from "
                "other cameras, or number the gallery's cameras apart from the query's where "
                "cameras are unknown"
            )
        raise UserError(
            f"no query has a match: none of the {np.sum(self.gallery_ids != JUNK)} gallery images "
            "(identity -1 dropped) shares a query's identity; check that query and gallery come "
            "from the same data set and number identities alike"
        )
