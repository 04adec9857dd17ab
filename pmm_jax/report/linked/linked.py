"""A page of the identities that linking found, each with its tracklets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.pixels import read_rgb
from pmm_jax.report.page import write_page
from pmm_jax.report.pictures import GAP, HEIGHT, data_uri, resized
from pmm_jax.report.section import Content, Section

MOST = 200
"""Identities that are shown; those of most tracklets come first."""
CROPS = 3
"""Images that are shown of a tracklet, evenly spaced."""


@dataclass(frozen=True, eq=False)
class Linked:
    """Tracklets with the identities that they were found to be of."""

    subtitle: str
    summary: dict[str, Any]
    """Numbers for the head of the page."""
    paths: Sequence[str]
    """(N,) of the images."""
    rows: np.ndarray
    """(N,) the tracklet of each image."""
    identities: np.ndarray
    """(T,) of the tracklets, from 1 on."""
    cameras: Sequence[str]
    """(T,) names."""
    spans: np.ndarray
    """(T, 2) first and last time; NaN where unknown."""
    display: Display
    name: str = "Identities across cameras"
    missing: dict[str, str] = field(default_factory=dict)

    def write(self, out: Path) -> None:
        """Write the page, and its numbers beside it.

        Raises:
            UserError: it can't be written.
        """
        write_page(self, [Section("linked_identities", "Identities", Linked.content)], out)

    def content(self) -> Content:
        """The page's section."""
        sizes = np.bincount(self.identities)
        order = np.argsort(-sizes[1:], kind="stable") + 1
        shown, pictures = [], []
        members = np.split(
            np.argsort(self.rows, kind="stable"), np.cumsum(np.bincount(self.rows))[:-1]
        )
        for identity in order[:MOST].tolist():
            tracklets = np.flatnonzero(self.identities == identity)
            tracklets = tracklets[np.argsort(self.spans[tracklets, 0], kind="stable")].tolist()
            shown.append(
                {
                    "identity": identity,
                    "tracklets": [self._describe(t, len(members[t])) for t in tracklets],
                }
            )
            pictures.append([self._crops(members[t]) for t in tracklets])
        values = {**self.summary, "shown": shown, "left_out": max(0, len(order) - MOST)}
        return Content(values, {"pictures": pictures})

    def _describe(self, tracklet: int, images: int) -> dict[str, Any]:
        start, end = self.spans[tracklet].tolist()
        return {"camera": self.cameras[tracklet], "start": start, "end": end, "images": images}

    def _crops(self, images: np.ndarray) -> list[tuple[str, str]]:
        """Path and picture of some images of a tracklet."""
        places = np.unique(np.linspace(0, len(images) - 1, CROPS).round().astype(int))
        return [self._crop(str(self.paths[image])) for image in images[places]]

    def _crop(self, path: str) -> tuple[str, str]:
        try:
            return path, data_uri(resized(read_rgb(path), HEIGHT))
        except UserError as error:
            self.missing[path] = str(error)
            return path, GAP
