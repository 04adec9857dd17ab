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

    Attributes:
        queries: count of queries.
        kept: (G',) positions of the gallery images that aren't junk, ascending. Every gallery
            index below counts in these.
        images: length of the whole gallery, G.
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
        self._query_ids = integer_labels("query_ids", query_ids, self.queries, rows)
        self._query_cameras = integer_labels("query_cameras", query_cameras, self.queries, rows)
        ids = integer_labels("gallery_ids", gallery_ids, self.images, columns)
        cameras = integer_labels("gallery_cameras", gallery_cameras, self.images, columns)
        self.kept = np.flatnonzero(ids != JUNK)
        ids, self._cameras = ids[self.kept], cameras[self.kept]
        # Stable, so that the images of one identity stay in gallery order.
        self._by_identity = np.argsort(ids, kind="stable")
        identities = ids[self._by_identity]
        self._first = np.searchsorted(identities, self._query_ids, side="left")
        self._end = np.searchsorted(identities, self._query_ids, side="right")
        self._refuse_matchless()

    def split(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Gallery indices of a query's matches, and of those its own camera took; ascending."""
        same = self._by_identity[self._first[query] : self._end[query]]
        own_camera = self._cameras[same] == self._query_cameras[query]
        return same[~own_camera], same[own_camera]

    def _refuse_matchless(self) -> None:
        if any(len(self.split(query)[0]) for query in range(self.queries)):
            return
        if np.any(self._first < self._end):
            raise UserError(
                "no query has a match: the same-camera rule removed every gallery image that "
                "shares a query's identity, because it shares its camera too; give images from "
                "other cameras, or number the gallery's cameras apart from the query's where "
                "cameras are unknown"
            )
        raise UserError(
            f"no query has a match: none of the {len(self.kept)} gallery images (identity -1 "
            "dropped) shares a query's identity; check that query and gallery come from the same "
            "data set and number identities alike"
        )
