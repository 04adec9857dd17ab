"""Overlap of the stages' top-K blocks, which quantifies the paper's Figure 4."""

import itertools

import jax.numpy as jnp
import numpy as np

from pmm_jax.api import Model
from pmm_jax.config import Config
from pmm_jax.config_check import feature_map_size
from pmm_jax.data.decode import decode_record
from pmm_jax.data.split import Split, open_split
from pmm_jax.mixing import block_mask

IMAGES = 1024
"""Training images that are looked at by default."""
BATCH = 16
"""Images explained at once: a batch filled up with black is mostly work for nothing."""


def block_overlap(cams: list[np.ndarray], block: tuple[int, int], top_k: int) -> np.ndarray:
    """IoU of the top-K blocks of two heads, mean over pairs of heads: (N,), of each image.

    Args:
        cams: (N, h, w) for each of two heads or more.
        block: height and width of a block in cells.
        top_k: K.
    """
    chosen = [~np.asarray(block_mask(jnp.asarray(cam), block, top_k)) for cam in cams]
    ious = [
        (one & other).sum((1, 2)) / (one | other).sum((1, 2))
        for one, other in itertools.combinations(chosen, 2)
    ]
    return np.mean(ious, axis=0)


def by_chance(blocks: int, top_k: int) -> float:
    """Expected IoU of two independent random sets of K blocks (hypergeometric)."""
    from scipy.stats import hypergeom

    common = np.arange(top_k + 1)
    return float(
        (hypergeom.pmf(common, blocks, top_k, top_k) * common / (2 * top_k - common)).sum()
    )


def run_overlap(model: Model, config: Config, images: int = IMAGES) -> np.ndarray:
    """`block_overlap` of a trained model on training images as they are.

    NaN where it has one head, or a map that the config's blocks don't divide.

    Args:
        model: of the run.
        config: of the run.
        images: training images that are looked at, spread evenly over the split.

    Raises:
        UserError: the training images can't be read.
    """
    size, block = feature_map_size(config.data.image_size), config.method.block
    if len(model.network.embedding_sizes) == 1 or any(
        n % b for n, b in zip(size, block, strict=True)
    ):
        return np.array([np.nan])
    split = open_split(config.data, "train")
    rows = np.unique(np.linspace(0, len(split) - 1, images).astype(int))
    cams = training_cams(model, config, split, rows)
    return block_overlap(list(np.moveaxis(cams, 1, 0)), block, config.method.top_k)


def training_cams(model: Model, config: Config, split: Split, rows: np.ndarray) -> np.ndarray:
    """Each head's Grad-CAM for the true identity of training images, (N, S, h, w).

    Args:
        model: of the run.
        config: of the run.
        split: its training images.
        rows: (N,) int, of the images in the split.

    Raises:
        UserError: an image can't be read.
    """
    _, labels = np.unique(split.identities, return_inverse=True)
    parts = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        images = [decode_record(split, int(row), config.data.image_size) for row in some]
        parts.append(model.explain(images, labels[some], BATCH))
    return np.concatenate(parts)
