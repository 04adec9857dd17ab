"""Tracklets of a table of embedded images, and what linking makes of them."""

from dataclasses import dataclass

import numpy as np

from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.files import printable
from pmm_jax.search.calibrate import numbered
from pmm_jax.search.linking import LinkFigures, Tracklets, link_figures, sum_up

NEEDED = ("camera", "track")
TIMES = ("time", "frame")
"""Columns that may say when an image was taken, the first one that is there; `start` and `end` say
it of a whole tracklet."""


@dataclass(frozen=True, eq=False)
class TrackletTable:
    """Images, and the tracklets that they make.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> from pmm_jax.search.linking import link
        >>> from pmm_jax.search.tracklets import tracklet_table
        >>> found = tracklet_table(read_table(Path("people.npz")), "euclidean")
        >>> identities = link(found.tracklets, threshold=3.0)
        >>> figures = found.figures(identities)
        >>> print(f"{identities.max()} people, IDF1 {figures.idf1:.1%}")
        14 people, IDF1 94.4%
    """

    table: EmbeddingTable
    """N images."""
    rows: np.ndarray
    """(N,) the tracklet of each image, 0 to T - 1."""
    tracklets: Tracklets
    """T tracklets."""
    has_times: bool
    """Whether times say which tracklets are of two people."""

    def figures(self, identities: np.ndarray) -> LinkFigures | None:
        """How identities fit the column `id`, where everybody that it names is known.

        Args:
            identities: (T,) that were found.

        Raises:
            UserError: a tracklet of two identities.
        """
        column = self.table.columns.get("id")
        if column is None:
            return None
        codes, _ = numbered(column, least=1)
        true = np.zeros(len(identities), np.int64)
        true[self.rows] = codes
        if not (true[self.rows] == codes).all():
            row = int(np.argmin(true[self.rows] == codes))
            raise UserError(
                f"the tracklet of {printable(str(self.table.columns['path'][row]))} has images of "
                "two ids; a tracklet is one person's"
            )
        known = true > 0
        if not known.any():
            return None
        return link_figures(identities[known], true[known], self.tracklets.counts[known])


def tracklet_table(table: EmbeddingTable, distance: str) -> TrackletTable:
    """Group a table's images by the columns `camera` and `track`.

    Args:
        table: with those columns, and `time`, `frame`, or `start` and `end`, in any unit.
        distance: `euclidean` or `cosine`, as the model's is taken.

    Raises:
        UserError: a column is missing or no number, or a tracklet ends before it starts.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> from pmm_jax.search.tracklets import tracklet_table
        >>> found = tracklet_table(read_table(Path("people.npz")), "euclidean")
        >>> found.tracklets.means.shape, found.tracklets.counts[:3].tolist()
        ((36, 16), [2, 2, 2])
    """
    columns = table.columns
    lacking = [name for name in NEEDED if name not in columns]
    if lacking:
        raise UserError(
            f"there is no column {lacking[0]}; link needs camera and track of each image"
        )
    _, cameras = np.unique(columns["camera"].astype(str), return_inverse=True)
    _, tracks = np.unique(columns["track"].astype(str), return_inverse=True)
    keys = np.stack([cameras.ravel(), tracks.ravel()])
    _, first, rows = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first, kind="stable"), kind="stable")
    rows = order[rows.ravel()]  # numbered in order of their first images
    spans = _spans(table)
    features = table.features
    if distance == "cosine":
        features = unit_length("features", features)
    tracklets = sum_up(features, rows, cameras.ravel(), spans)
    return TrackletTable(table, rows, tracklets, bool(np.isfinite(spans).all()))


def _spans(table: EmbeddingTable) -> np.ndarray:
    """(N, 2): first and last time of each image; NaN where there is no column of times."""
    columns = table.columns
    if {"start", "end"} <= set(columns):
        names = ("start", "end")
    elif found := [name for name in TIMES if name in columns]:
        names = (found[0], found[0])
    else:
        return np.full((len(table), 2), np.nan)
    for name in names:
        if columns[name].dtype.kind not in "if":
            raise UserError(f"column {name} must hold numbers, such as seconds or frames")
    spans = np.stack([columns[name].astype(np.float64) for name in names], axis=1)
    if (spans[:, 1] < spans[:, 0]).any():
        row = int(np.argmax(spans[:, 1] < spans[:, 0]))
        path = printable(str(columns["path"][row]))
        raise UserError(f"{path} ends at {spans[row, 1]:g}, before it starts at {spans[row, 0]:g}")
    return spans
