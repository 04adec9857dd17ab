"""Search results as they go out: an object a query, the same on the terminal and over HTTP."""

from collections.abc import Sequence
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
                "path": result.path,
                "identity": _known(result, IDENTITY),
                "camera": _known(result, CAMERA),
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
    cameras = {_known(result, CAMERA) for results in found for result in results}
    return calibration.warnings([str(camera) for camera in cameras if camera is not None])


def _known(result: Result, column: str) -> Value | None:
    value = result.columns.get(column)
    # JSON has no NaN, which stands where a number is unknown.
    return None if value != value else value
