"""Count the images ahead of each match in one row of distances, directly or by one sort."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pmm_jax.evaluation.market_protocol import JUNK, Protocol

GROUP = 255
"""64-bit words of flags that are summed at once."""


class Row(NamedTuple):
    """Distances of one query to the gallery, as far as they are known."""

    values: np.ndarray
    """(G,) floating point, finite."""
    error: np.ndarray | None = None
    """(G,) float64: how far off each may be; None where all are exact."""
    settle: Callable[[np.ndarray], np.ndarray] | None = None
    """Exact distances of gallery images, where there are errors."""


def others_ahead(row: Row, matches: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Number of other images ahead of each match, ties in gallery order.

    Sorts the others once, whatever the number of matches.

    Args:
        row: of one query.
        matches: (M,) ascending gallery indices.
        others: (N,) ascending gallery indices, none of them a match.

    Returns:
        (M,) int64, in the order of `matches`.
    """
    low, high = _bounds(row, matches)
    others_low, others_high = _bounds(row, others)
    ends = np.sort(others_high)
    before = _count_below(ends, low, "left")
    # Most matches are known from the other that ends next: at the widest it begins after them.
    # (Twice the width, as the difference rounds.)
    width = (others_high - others_low).max(initial=0)
    is_open = np.append(ends, np.inf)[before] - 2 * width <= high
    if is_open.any():
        upto = _count_below(np.sort(others_low), high[is_open], "right")
        is_open[is_open] = upto > before[is_open]
    if not is_open.any():
        return before
    low, high = low[is_open], high[is_open]
    is_involved = _overlap(others_low, others_high, low, high)
    mine, theirs = matches[is_open], others[is_involved]
    images = np.concatenate([mine, theirs])
    exact = row.values[images] if row.settle is None else row.settle(images)
    order = np.lexsort((images, exact))
    places = np.empty(len(order), np.int64)
    places[order] = np.cumsum(order >= len(mine))
    before[is_open] = places[: len(mine)]
    before[is_open] += _count_below(np.sort(others_high[~is_involved]), low, "left")
    return before


def nearest(row: Row, images: np.ndarray) -> int:
    """The nearest of some gallery images, given in ascending order; of equal ones the first."""
    low, high = _bounds(row, images)
    near = images[low <= high.min()]
    if len(near) == 1 or row.settle is None:
        return int(near[0])
    return int(near[np.argmin(row.settle(near))])


def _bounds(row: Row, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = row.values[images]
    if row.error is None:
        return values, values
    error = row.error[images]
    return values - error, values + error


def _count_below(
    values: np.ndarray, limits: np.ndarray, side: Literal["left", "right"]
) -> np.ndarray:
    """(M,) int64: how many ascending values are below each limit, or up to it (`right`)."""
    # Limits in order find their places several times as fast.
    order = np.argsort(limits)
    result = np.empty(len(limits), np.int64)
    result[order] = np.searchsorted(values, limits[order], side)
    return result


def _overlap(
    low: np.ndarray, high: np.ndarray, others_low: np.ndarray, others_high: np.ndarray
) -> np.ndarray:
    """(N,) bool: whether each interval meets any of the others."""
    order = np.argsort(others_low)
    reach = np.maximum.accumulate(others_high[order])
    begun = np.searchsorted(others_low[order], high, "right")
    return (begun > 0) & (reach[np.maximum(begun, 1) - 1] >= low)


class RowCounter:
    """Counts for a few matches, with memory that is used again for each row of G distances."""

    def __init__(self, protocol: Protocol, most: int) -> None:
        """`most`: matches that a row may have."""
        self._protocol = protocol
        self._junk = np.flatnonzero(protocol.gallery_ids == JUNK)
        # Rows padded with False to a whole number of groups of words.
        groups = -(-protocol.images // (8 * GROUP))
        self._words = np.zeros((most, groups, GROUP), np.uint64)
        flags = self._words.view(bool)
        self._flags = flags.reshape(most, groups * GROUP * 8)[:, : protocol.images]

    def others_ahead(self, row: np.ndarray, query: int) -> np.ndarray:
        """(M,) int64: how many images of others come before each match, ties in gallery order."""
        matches, left_out = self._protocol.matches(query), self._protocol.same_identity(query)
        distances = row[matches]
        if len(self._junk):
            row = row.copy()
            row[self._junk] = np.inf
        before = self._count(np.less, row, distances)
        upto = self._count(np.less_equal, row, distances)
        for index in np.flatnonzero(upto - before > 1):  # tied: those earlier come first
            before[index] += np.count_nonzero(row[: matches[index]] == distances[index])
        other = row[left_out][:, None]
        earlier = left_out[:, None] < matches
        return before - ((other < distances) | ((other == distances) & earlier)).sum(axis=0)

    def _count(self, compare: np.ufunc, row: np.ndarray, distances: np.ndarray) -> np.ndarray:
        count = len(distances)
        compare(row, distances[:, None], out=self._flags[:count])
        # Eight flags to a word: up to 255 words are summed without a carry from byte to byte.
        sums = self._words[:count].sum(2)
        return sums.view(np.uint8).sum(1, dtype=np.int64)
