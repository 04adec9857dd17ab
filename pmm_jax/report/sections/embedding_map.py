"""Map of the embeddings by t-SNE, with the crops of its points."""

from typing import Any

import numpy as np

from pmm_jax.evaluation.projection import IMAGES, MapSample, sample_for_map, tsne
from pmm_jax.report.pictures import data_uri, sprite_sheet
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content

SIZE = 1000
"""Units of the map's longer side."""
CROP = 64
"""Pixels of a crop's longer side."""
LABEL = 8
"""Characters of a label on the map."""


def build(run: RunData) -> Content:
    """Places of some identities' images.

    Raises:
        UserError: too few images or identities, or all embeddings are the same.
    """
    sample = sample_for_map(*run.ranked)
    places = tsne(sample.images.features, run.config.evaluate.seed)
    values = describe(sample, places)
    paths = [point["path"] for point in values["points"]]
    sheet = sprite_sheet(run, paths, CROP) if sample.images.paths is not None else None
    media: dict[str, Any] = {"sheet": None}
    if sheet is not None:
        media = {"sheet": data_uri(sheet.image), "cell": sheet.cell, "columns": sheet.columns}
    return Content(values, media)


def describe(sample: MapSample, places: np.ndarray) -> dict[str, Any]:
    """What the page shows, as JSON: identities in order, and their points in the same order.

    Args:
        sample: the images.
        places: (N, 2) of them, within 0 to 1.
    """
    images, places = sample.images, (SIZE * places).round(1)
    starts = np.flatnonzero(np.diff(images.identities, prepend=images.identities[0] - 1))
    identities, points = [], []
    for number, rows in enumerate(np.split(np.arange(len(places)), starts[1:])):
        name = images.identity_name(rows[0])
        # At a point of its own, as the middle of two groups may be a third one's place.
        from_middle = np.square(places[rows] - np.median(places[rows], axis=0)).sum(1)
        x, y = places[rows[np.argmin(from_middle)]].tolist()
        cameras = len(np.unique(images.cameras[rows]))
        label = name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"
        queries = int(sample.is_query[rows].sum())
        identities.append(
            {
                "name": name,
                "label": label,
                "queries": queries,
                "gallery": len(rows) - queries,
                "cameras": cameras,
                "x": x,
                "y": y,
            }
        )
        points += [
            {
                "identity": number,
                "set": "query" if sample.is_query[row] else "gallery",
                "camera": images.camera_name(row),
                "path": "" if images.paths is None else str(images.paths[row]),
                "x": places[row, 0],
                "y": places[row, 1],
            }
            for row in rows.tolist()
        ]
    return {
        "all_identities": sample.identities,
        "most_each": IMAGES // len(identities),
        "size": [SIZE, float(places[:, 1].max())],
        "identities": identities,
        "points": points,
    }
