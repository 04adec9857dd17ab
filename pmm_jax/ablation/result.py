"""What one run of a comparison came to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pmm_jax.npz import read_npz


@dataclass(frozen=True, eq=False)
class Result:
    """Arrays have an entry for each of Q queries, NaN where it has no match."""

    hits: np.ndarray
    """(Q,) whether the first image is a match: Rank-1 is their mean."""
    average_precision: np.ndarray
    """(Q,)"""
    overlap: float
    """Of the stages' top-K blocks; NaN where there are no two stages."""
    seconds: float
    """Of the run's last process, evaluation included: the whole run's where it never stopped."""


def read_result(path: Path) -> Result:
    """The result that a run left.

    Raises:
        UserError: it can't be read.
    """
    names = ("hits", "average_precision", "overlap", "seconds")
    found = read_npz(path, names, "the result of a run; remove it, and the run is evaluated again")
    hits, precision = found["hits"], found["average_precision"]
    return Result(hits, precision, float(found["overlap"]), float(found["seconds"]))
