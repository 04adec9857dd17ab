"""Random streams: each drawn thing has its own, so that nothing depends on drawing order."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """First word after the seed; a new kind of thing takes a new number and changes no other."""

    OUTFIT = 1
    PERSON = 2
    CAMERA = 3
    SCENE = 4
    ITINERARY = 5
    VISIT = 6
    SHOT = 7
    DISTRACTOR = 8
    JUNK = 9


def stream(seed: int, kind: Stream, *which: int) -> np.random.Generator:
    """Generator of one drawn thing, a function of the seed and of which thing it is."""
    return np.random.default_rng([seed, int(kind), *which])
