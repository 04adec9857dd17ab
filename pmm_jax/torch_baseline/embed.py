"""Test-mode embeddings."""

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
