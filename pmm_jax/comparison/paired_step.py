"""Difference between the two sides of a paired step, independent of both frameworks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LOSSES = ("loss", *(f"{loss}{i}" for loss in ("triplet", "cross_entropy") for i in (1, 2, 3)))

TINY = 1e-12
"""Smallest loss that a difference is divided by."""

EARLY = 50
"""Number of first steps whose largest difference is reported."""


@dataclass(frozen=True)
class PairedStep:
    """Training step of both sides."""

    number: int
    """Number of the step, from 1."""
    ours: dict[str, float]
    """The sum `loss` and the six losses."""
    baseline: dict[str, float]
    other_blocks: int
    """Masks, of the batch's two for each image, in which the two sides replace other blocks."""
    seconds: tuple[float, float]
    """Ours, the baseline's; of the first step ours includes compilation."""

    @property
    def difference(self) -> float:
        """Largest relative difference of a loss; NaN where a loss is NaN."""
        ours, baseline = (np.array([s[k] for k in LOSSES]) for s in (self.ours, self.baseline))
        # A triplet loss may vanish in float32 once all identities are far apart.
        return float((np.abs(ours - baseline) / np.maximum(np.abs(baseline), TINY)).max())


def other_masks(ours: Sequence[np.ndarray], baseline: Sequence[np.ndarray]) -> int:
    """Masks that differ anywhere; (N, ...) each, one entry a stage."""
    return sum(
        int((one.reshape(len(one), -1) != other.reshape(len(other), -1)).any(1).sum())
        for one, other in zip(ours, baseline, strict=True)
    )


def largest_early_difference(steps: Sequence[dict[str, Any]]) -> float:
    """Largest difference of the first steps, given as objects of steps.jsonl."""
    return max(step["difference"] for step in steps[:EARLY])
