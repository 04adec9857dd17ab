"""Embeddings in batches of a few fixed sizes, so that nothing compiles while people wait."""

import time

import numpy as np

from pmm_jax.api import Model

SIZES = (1, 8, 32)
"""Of the batches, all compiled ahead of the first request."""

TURNS = 5
"""Timings of each, of which the shortest counts: others were disturbed."""


class Embedder:
    """Embeds up to the largest size at once.

    On an accelerator a batch of 32 takes hardly longer than one of 8 and may well be half empty; on
    a CPU it takes four times as long. So each size is timed once, and what waits is taken by the
    size that embeds the most of it in a second.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._seconds = dict.fromkeys(SIZES, 1.0)

    def warm_up(self) -> None:
        """Compile each size, and time it."""
        for size in SIZES:
            images = np.zeros((size, *self._model.image_size, 3), np.uint8)
            self._model.embed(images, size)
            self._seconds[size] = min(self._timed(images) for _ in range(TURNS))

    def _timed(self, images: np.ndarray) -> float:
        started = time.perf_counter()
        self._model.embed(images, len(images))
        return time.perf_counter() - started

    def size(self, waiting: int) -> int:
        """How many of so many images to embed at once, at least 1."""
        best = max(SIZES, key=lambda size: min(size, waiting) / self._seconds[size])
        return min(best, waiting)

    def embed(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """The embeddings of at most 32 images at the model's size, (D,) float32 each."""
        size = next(size for size in SIZES if size >= len(images))
        return list(self._model.embed(np.stack(images), size))
