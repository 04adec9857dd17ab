"""Result of one run of a comparison."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pmm_jax.npz import read_npz


@dataclass(frozen=True, eq=False)
class Result:
    """Per-query results of a run; NaN for a query without a match."""

    hits: np.ndarray
    """(Q,) whether the first image is a match: Rank-1 is their mean."""
    average_precision: np.ndarray
    """(Q,) average precision of each query."""
    overlap: float
    """Mean IoU of the stages' top-K blocks; NaN for a method with one stage."""
    seconds: float
    """Seconds of the run's last process, evaluation included; of the whole run if never stopped."""


def read_result(path: Path) -> Result:
    """Read the result of a run.

    Raises:
        UserError: it can't be read.
    """
    names = ("hits", "average_precision", "overlap", "seconds")
    found = read_npz(path, names, "the result of a run; remove it, and the run is evaluated again")
    hits, precision = found["hits"], found["average_precision"]
    return Result(hits, precision, float(found["overlap"]), float(found["seconds"]))
