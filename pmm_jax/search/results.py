"""Search results as they go out: an object a query, the same on the terminal and over HTTP."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pmm_jax.search.gallery import Result

IDENTITY, CAMERA = "id", "camera"
"""Columns that a result calls `identity` and `camera`."""


def as_json(query: str, results: Sequence[Result], calibration: Any = None) -> dict[str, Any]:
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
                "identity": result.columns.get(IDENTITY),
                "camera": result.columns.get(CAMERA),
                "distance": result.distance,
                "decision": None if decision is None else str(decision),
            }
            for result, decision in zip(results, decisions, strict=True)
        ],
    }
