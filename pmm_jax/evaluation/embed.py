"""From batches of images to embeddings, with the device kept busy."""

from collections.abc import Callable, Iterable

import jax
import numpy as np


def embed_batches(
    embed: Callable[[np.ndarray], jax.Array],
    batches: Iterable[tuple[np.ndarray, int]],
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Embed every batch and join the results.

    Args:
        embed: images (B, H, W, 3) uint8 to embeddings (B, D), asynchronous.
        batches: images and how many of them count; all of one shape, so that nothing recompiles.
        progress: called with the number of images finished since its last call.

    Returns:
        (N, D) float32.
    """
    done: list[np.ndarray] = []

    def finish(embeddings: jax.Array, count: int) -> None:
        done.append(np.asarray(embeddings, np.float32)[:count])
        if progress is not None:
            progress(count)

    pending: tuple[jax.Array, int] | None = None
    for images, count in batches:
        # The next batch is under way before the host waits for the one before it.
        started = embed(images), count
        if pending is not None:
            finish(*pending)
        pending = started
    if pending is not None:
        finish(*pending)
    return np.concatenate(done)
