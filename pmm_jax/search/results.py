"""Search results as they go out: an object a query, the same on the terminal and over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pmm_jax.calibration import Calibration
from pmm_jax.search.gallery import Result, Value

IDENTITY, CAMERA = "id", "camera"
"""Columns that a result calls `identity` and `camera`."""


def as_json(
    query: str, results: Sequence[Result], calibration: Calibration | None = None
) -> dict[str, Any]:
    """One query and its results.

    Args:
        query: path or name of its image.
        results: of a search.
        calibration: of the gallery's model, which decides of each distance; None without one.
    """
    distances = np.array([result.distance for result in results])
    decisions = [None] * len(results) if calibration is None else calibration.decide(distances)
    return {
        "query": query,
        "results": [
            {
                "rank": result.rank,
                **about_image(result.columns),
                "distance": result.distance,
                "decision": None if decision is None else str(decision),
            }
            for result, decision in zip(results, decisions, strict=True)
        ],
    }


def warnings_of(found: Sequence[Sequence[Result]], calibration: Calibration | None) -> list[str]:
    """Lines on how the images that were found differ from those calibrated on."""
    if calibration is None:
        return []
    cameras = {about_image(result.columns)["camera"] for results in found for result in results}
    return calibration.warnings([str(camera) for camera in cameras if camera is not None])


def about_image(columns: Mapping[str, Value]) -> dict[str, Value | None]:
    """Path, identity and camera of an image of a gallery, None where they are unknown."""
    named = {"path": "path", "identity": IDENTITY, "camera": CAMERA}
    values = {name: columns.get(column) for name, column in named.items()}
    # JSON has no NaN, which stands where a number is unknown.
    return {name: None if value != value else value for name, value in values.items()}
