"""Overlap of the stages' top-K blocks, which quantifies the paper's Figure 4."""

import itertools
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from pmm_jax.config import Config
from pmm_jax.config_check import feature_map_size
from pmm_jax.data.decode import decode_record
from pmm_jax.data.split import open_split
from pmm_jax.inference import make_explain, map_batches
from pmm_jax.mixing import block_mask
from pmm_jax.model.pmm import Network, Tree

IMAGES = 1024
"""Training images that are looked at, spread evenly over the split."""


def block_overlap(cams: list[np.ndarray], block: tuple[int, int], top_k: int) -> float:
    """Mean IoU of the top-K blocks of two heads, over images and pairs of heads.

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
    return float(np.mean(ious))


def by_chance(blocks: int, top_k: int) -> float:
    """Expected IoU of two independent random sets of K blocks (hypergeometric)."""
    from scipy.stats import hypergeom

    common = np.arange(top_k + 1)
    return float(
        (hypergeom.pmf(common, blocks, top_k, top_k) * common / (2 * top_k - common)).sum()
    )


def run_overlap(config: Config, network: Network, params: Tree, batch_stats: Tree) -> float:
    """`block_overlap` of a trained network on training images as they are.

    NaN where it has one head, or a map that the config's blocks don't divide.
    """
    size, block = feature_map_size(config.data.image_size), config.method.block
    if "part_block" not in network.modules or any(n % b for n, b in zip(size, block, strict=True)):
        return float("nan")
    split = open_split(config.data, "train")
    _, labels = np.unique(split.identities, return_inverse=True)
    some = np.unique(np.linspace(0, len(split) - 1, IMAGES).astype(int))
    batch, explain = config.evaluate.batch_size, make_explain(network)

    def batches() -> Iterator[tuple[tuple[np.ndarray, np.ndarray], int]]:
        for start in range(0, len(some), batch):
            part = some[start : start + batch]
            padded = np.resize(part, batch)  # one shape, one program
            images = [decode_record(split, int(i), config.data.image_size) for i in padded]
            yield (np.stack(images), labels[padded]), len(part)

    cams = map_batches(lambda inputs: explain(params, batch_stats, *inputs), batches())
    return block_overlap(list(np.moveaxis(cams, 1, 0)), block, config.method.top_k)
