"""Squared Euclidean distances between embeddings, the same to the last bit in any chunk.

|a|^2 + |b|^2 - 2ab is one matrix product, but in float32 it loses small distances to cancellation,
and BLAS may round one pair differently in blocks of different shape: ties break at random, and
metrics depend on the chunk. So embeddings are rounded to a grid, a power of two between 3e-8 and
6e-8 of the longest embedding, on which every term is an integer below 2^53. float64 adds such
integers without any rounding, in whatever order BLAS takes them, so identical images tie exactly.
The grid moves a distance by about 2e-8 of the longest embedding, less than float32 would.
"""

from collections.abc import Iterator

import numpy as np

GRID_BITS = 25
"""The longest embedding is under 2^25 grid steps, so |a|^2 + |b|^2 + 2|ab| stays under 2^53."""
GALLERY_BLOCK = 1024
"""Gallery rows converted at once: small enough that conversion and product meet in the cache."""


def squared_distances(query: np.ndarray, gallery: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    """Squared Euclidean distances, `chunk` queries at a time, in order.

    Args:
        query: (Q, D) float32, finite.
        gallery: (G, D) float32, finite.
        chunk: queries whose distances are held at once. It changes memory and time (the gallery is
            converted anew for each chunk), and not one bit of the result.

    Yields:
        (chunk, G) float64; the last has what remains.
    """
    # A power of two, so that scaling rounds nothing.
    scale = 2.0 ** (GRID_BITS - max(_longest(query), _longest(gallery)))
    squares = np.empty(len(gallery))
    for rows in _blocks(len(gallery), GALLERY_BLOCK):
        squares[rows] = _squares(_on_grid(gallery[rows], scale))
    for asked in _blocks(len(query), chunk):
        a = _on_grid(query[asked], scale)
        own_squares = _squares(a)[:, None]
        a *= -2
        result = np.empty((len(a), len(gallery)))
        for rows in _blocks(len(gallery), GALLERY_BLOCK):
            block = a @ _on_grid(gallery[rows], scale).T
            block += own_squares
            block += squares[rows]
            np.multiply(block, scale**-2, out=result[:, rows])
        yield result


def _blocks(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _on_grid(features: np.ndarray, scale: float) -> np.ndarray:
    steps = features.astype(np.float64)
    steps *= scale
    return np.rint(steps, out=steps)


def _squares(features: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", features, features)


def _longest(features: np.ndarray) -> int:
    """The least power of two (its exponent) above every embedding's length."""
    longest = max(
        _squares(features[rows].astype(np.float64)).max()
        for rows in _blocks(len(features), GALLERY_BLOCK)
    )
    return int(np.frexp(np.sqrt(longest))[1])
