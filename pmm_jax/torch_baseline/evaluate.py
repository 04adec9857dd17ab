"""Test-mode embeddings, and their ranking by the plain loop that PyTorch re-ID code uses."""

from collections.abc import Iterable

import numpy as np
import torch

from pmm_jax.torch_baseline.bdb import BDB
from pmm_jax.torch_baseline.model import PMM


def embed(
    model: PMM | BDB, batches: Iterable[tuple[np.ndarray, int]], flip_average: bool = False
) -> np.ndarray:
    """Embeddings (M, 3 * embedding_size) float32.

    Args:
        model: left in the mode that it was in.
        batches: normalized images (B, H, W, 3), and how many of each batch count.
        flip_average: give the mean of an image's embedding and its mirror image's.
    """
    training, rows = model.training, []
    kind = next(model.parameters()).dtype
    model.eval()
    with torch.no_grad():
        for images, count in batches:
            x = torch.from_numpy(images).to(kind).permute(0, 3, 1, 2).contiguous()
            features = model(x)
            if flip_average:
                features = (features + model(x.flip(3))) / 2
            rows.append(features.float().numpy()[:count])
    model.train(training)
    return np.concatenate(rows)


def rank(
    query: np.ndarray,
    gallery: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank of the first match and average precision of each query, NaN where it has none.

    Junk (gallery identity -1), and gallery images of both identity and camera of the query, are
    removed.

    Returns:
        (Q,) and (Q,) float64.
    """
    wanted = gallery_ids != -1
    gallery, gallery_ids, gallery_cameras = (
        array[wanted] for array in (gallery, gallery_ids, gallery_cameras)
    )
    features = torch.from_numpy(gallery)
    squares = features.pow(2).sum(1)
    firsts = np.full(len(query), np.nan)
    precisions = np.full(len(query), np.nan)
    for i, one in enumerate(torch.from_numpy(query)):
        distances = squares - 2 * (features @ one)
        order = distances.argsort(stable=True).numpy()
        removed = (gallery_ids == query_ids[i]) & (gallery_cameras == query_cameras[i])
        match = (gallery_ids == query_ids[i])[order][~removed[order]]
        if match.any():
            ranks = np.flatnonzero(match) + 1
            firsts[i] = ranks[0]
            precisions[i] = (np.arange(1, len(ranks) + 1) / ranks).mean()
    return firsts, precisions
