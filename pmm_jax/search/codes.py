"""A large gallery in eight bits a value, which rules out nearly all of its images.

An image x is kept as s c, with c of small integers; what that leaves of it, r = |x - s c|, is
measured. So its distance from a query lies within r of that of s c (the triangle inequality), and
an image farther than the k-th nearest by more than both bounds isn't among the first k. FAISS reads
a quarter of the bytes that a product of the embeddings reads; the few images that are left are
compared exactly (exact.py).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import faiss as faiss_package
import numpy as np

faiss: Any = faiss_package  # its stubs know less than it takes

LARGEST = 127
BLOCK = 1 << 14
"""Images encoded at once."""
SAMPLE = 4096
"""Images that settle the step between two integers."""
OUTLIERS = 5e-4
"""Fraction of images, those of which most is left, that are compared exactly with every query."""
SPARE = 1024
"""Images found at first beyond those wanted; four times as many where they don't do."""
MOST_FOUND = 1 << 15
"""A product of all embeddings is faster than finding more of each part."""


class Codes:
    """A gallery in eight bits a value."""

    def __init__(self, features: np.ndarray, lengths: np.ndarray | None) -> None:
        """Encode embeddings.

        Args:
            features: (N, D) float32.
            lengths: (N,) what they are divided by first; None leaves them as they are.
        """
        self._features, self._lengths = features, lengths
        count, length = features.shape
        sample = np.abs(self._compared(slice(None, None, -(-count // SAMPLE))))
        self._step = np.float32(sample.max() / LARGEST) or np.float32(1)
        self._lefts, self._longest = np.empty(count), 0.0
        # Squares of differences and their sum round; half of that is a distance's.
        self._rounding = 1.01 * (length + 8) * 2.0**-25
        threads = len(os.sched_getaffinity(0))
        size = -(-count // threads)
        self._pool = ThreadPoolExecutor(threads)
        self._parts = [
            (start, self._encoded(start, min(start + size, count)))
            for start in range(0, count, size)
        ]
        # Few images have values beyond the largest integer; their bound would be everybody's.
        self._left = float(np.quantile(self._lefts, 1 - OUTLIERS, method="higher"))
        self._outliers = np.flatnonzero(self._lefts > self._left)

    def near(
        self, query: np.ndarray, top: int, is_ranked: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Images among which the nearest are, ascending; None where too many are left.

        Args:
            query: (D,) as it is compared.
            top: how many nearest ones, at most as many as are ranked.
            is_ranked: (N,) bool: images to rank; all by default.
        """
        steps = (query / self._step).astype(np.float32)[None]
        # Beyond what an image's integers leave of it: float32 rounds it and the query.
        left = self._left + 2.0**-22 * (float(np.linalg.norm(query)) + self._longest)
        found = top + SPARE
        while found <= MOST_FOUND:
            first = partial(self._first, steps=steps, found=found, is_ranked=is_ranked)
            parts = list(self._pool.map(first, self._parts))
            images, distances = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            is_bounded = ~np.isin(images, self._outliers)
            nearest = np.inf
            if is_bounded.sum() >= top:
                nearest = float(np.partition(distances[is_bounded], top - 1)[top - 1])
            reach = (nearest * (1 + self._rounding) + 2 * left) / (1 - self._rounding)
            if all(len(its) < found or its[-1] > reach for _, its in parts):
                outliers = self._outliers
                if is_ranked is not None:
                    outliers = outliers[is_ranked[outliers]]
                return np.union1d(images[distances <= reach], outliers)
            found *= 4
        return None

    def _first(
        self,
        part: tuple[int, Any],
        steps: np.ndarray,
        found: int,
        is_ranked: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images of a part and their distances, nearest first; fewer where there are fewer."""
        start, index = part
        selected = None
        if is_ranked is not None:
            bits = np.packbits(is_ranked[start : start + index.ntotal], bitorder="little")
            selected = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        squares, images = index.search(steps, min(found, index.ntotal), params=selected)
        is_image = images[0] >= 0
        distances = np.sqrt(squares[0][is_image].astype(np.float64)) * float(self._step)
        return images[0][is_image] + start, distances

    def _compared(self, some: slice) -> np.ndarray:
        """Embeddings of some images as they are compared, (N, D) float32."""
        features = self._features[some]
        if self._lengths is None:
            return features
        return (features / self._lengths[some, None]).astype(np.float32)

    def _encoded(self, start: int, end: int) -> Any:
        index = faiss.IndexScalarQuantizer(
            self._features.shape[1],
            faiss.ScalarQuantizer.QT_8bit_direct_signed,
            faiss.METRIC_L2,
        )
        for first in range(start, end, BLOCK):
            some = self._compared(slice(first, min(first + BLOCK, end)))
            codes = np.rint(some / self._step)
            codes = np.clip(codes, -LARGEST, LARGEST, out=codes)
            index.add(codes)
            codes *= self._step
            codes -= some
            self._lefts[first : first + len(some)] = _lengths(codes)
            self._longest = max(self._longest, float(_lengths(some).max()))
        return index


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """(N,) float64."""
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
