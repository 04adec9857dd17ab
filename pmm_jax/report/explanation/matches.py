"""What a search found, with pictures and what made each pair match."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.api import Model
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.pixels import read_rgb
from pmm_jax.report.explanation.explanation import BATCH, parts_of
from pmm_jax.report.heads import with_sum
from pmm_jax.report.page import write_page
from pmm_jax.report.pictures import GAP, HEIGHT, cam_layer, data_uri, resized
from pmm_jax.report.section import Content, Section
from pmm_jax.report.sections.rank_lists import explained_results


@dataclass(frozen=True, eq=False)
class Matches:
    """Queries and what a search found of each."""

    subtitle: str
    """Which gallery was searched."""
    answers: Sequence[dict[str, Any]]
    """Of each query, as `search.results.as_json` gives it."""
    images: Sequence[np.ndarray]
    """(H, W, 3) uint8 of each query."""
    model: Model
    display: Display
    name: str = "Search"
    missing: dict[str, str] = field(default_factory=dict)

    def write(self, out: Path) -> None:
        """Write the page, and its numbers beside it.

        Args:
            out: its path.

        Raises:
            UserError: it can't be written.
        """
        write_page(self, [Section("matches", "Results", Matches.content)], out)

    def content(self) -> Content:
        """The page's section; an image that can't be read is told of, and shown as missing."""
        depth = explained_results(self.model, len(self.answers))
        found = [self._read(answer) for answer in self.answers]
        pictures = {
            path: data_uri(resized(image, HEIGHT))
            for images in found
            for path, image in images.items()
        }
        queries = [data_uri(resized(image, HEIGHT)) for image in self.images]
        cams = [
            self._cams(image, answer["results"][:depth], images)
            for image, answer, images in zip(self.images, self.answers, found, strict=True)
        ]
        values = {"queries": list(self.answers), "explained": depth}
        titles, _ = parts_of(self.model)
        media = {"queries": queries, "pictures": pictures, "gap": GAP, "cams": cams}
        return Content(values, media | {"titles": titles})

    def _read(self, answer: dict[str, Any]) -> dict[str, np.ndarray]:
        images = {}
        for path in (result["path"] for result in answer["results"]):
            try:
                images[path] = read_rgb(path)
            except UserError as error:
                self.missing[path] = str(error)
        return images

    def _cams(
        self, query: np.ndarray, results: list[dict[str, Any]], images: dict[str, np.ndarray]
    ) -> dict[str, tuple[list[str], list[str]]]:
        """Of each result by its path: layers over the query, and over the result."""
        paths = [result["path"] for result in results if result["path"] in images]
        if not paths:
            return {}
        pairs = [query] * len(paths), [images[path] for path in paths]
        both = self.model.explain_pair(*pairs, min(BATCH, len(paths)))
        sides = [[[cam_layer(cam) for cam in cams] for cams in with_sum(side)] for side in both]
        return dict(zip(paths, zip(*sides, strict=True), strict=True))
