"""Where each stage looks on training images (paper, Figure 4), and how much stages overlap."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from pmm_jax.config import Config
from pmm_jax.config_check import feature_map_size
from pmm_jax.evaluation.bootstrap import mean_interval
from pmm_jax.methods import get_method
from pmm_jax.mixing import block_mask
from pmm_jax.report.heads import head_titles
from pmm_jax.report.overlap import by_chance, run_overlap, training_cams
from pmm_jax.report.pictures import data_uri, overlay, resized
from pmm_jax.report.run_data import RunData, image_of
from pmm_jax.report.section import Content

IDENTITIES = 12
"""Training identities that are shown."""
OVERLAP_IMAGES = 64
"""Training images of the overlap: a full ResNet-50 takes 0.2 CPU seconds for each."""
HEIGHT = 192
"""Pixels of a picture."""


def build(run: RunData) -> Content:
    """CAMs of a dozen training identities.

    Raises:
        UserError: no checkpoint, or training images that can't be read.
    """
    split = run.split("train")
    rows = identity_rows(split.identities)
    images = [
        {
            "path": split.filenames[row],
            "identity": split.names.get(identity, str(identity)),
        }
        for row, identity in zip(rows, split.identities[rows].tolist(), strict=True)
    ]
    config = run.config
    values = {
        "images": images,
        "identities": len(np.unique(split.identities)),
        "outline": _outline(config, len(run.model.network.embedding_sizes)),
        "overlap": _overlap(run),
    }
    titles = ["Image", *head_titles(run.model.network)]
    plain = [data_uri(resized(image_of(split, row), HEIGHT)) for row in rows]
    pictures = [[image, *looks] for image, looks in zip(plain, stage_looks(run, rows), strict=True)]
    return Content(values, {"pictures": pictures, "titles": titles})


def identity_rows(identities: np.ndarray, count: int = IDENTITIES) -> np.ndarray:
    """Rows of one image each of some identities, spread evenly over them.

    Args:
        identities: (N,) int, of a split.
        count: identities, at most.
    """
    _, first = np.unique(identities, return_index=True)
    return first[np.unique(np.linspace(0, len(first) - 1, count).astype(int))]


def stage_looks(run: RunData, rows: np.ndarray) -> list[list[str]]:
    """Each head's Grad-CAM for the true identity over training images, as data URIs.

    Where the run's method replaces the blocks with the highest CAM, those that the next stage loses
    are outlined. Runs on one data set have the same rows, so their pictures fit below each other.

    Args:
        run: whose heads.
        rows: (N,) int, of the images in the training split.

    Returns:
        N lists of a picture for each head.

    Raises:
        UserError: no checkpoint, or an image that can't be read.
    """
    split = run.split("train")
    cams = training_cams(run.model, run.config, split, rows)
    masks = replaced_masks(cams, run.config)
    return [
        [
            data_uri(overlay(image_of(split, int(row)), cam, mask, HEIGHT))
            for cam, mask in zip(cams_of_one, masks_of_one, strict=True)
        ]
        for row, cams_of_one, masks_of_one in zip(rows, cams, masks, strict=True)
    ]


def replaced_masks(cams: np.ndarray, config: Config) -> list[list[np.ndarray | None]]:
    """Masks of the blocks that the next stage loses: none of the last stage, or of other methods.

    Args:
        cams: (N, S, h, w).
        config: of the run.

    Returns:
        N lists of S masks (h, w) bool, False in those blocks.
    """
    count, heads = cams.shape[:2]
    masks: list[list[np.ndarray | None]] = [[None] * heads for _ in range(count)]
    if _outline(config, heads):
        for stage in range(heads - 1):
            cam = jnp.asarray(cams[:, stage])
            found = np.asarray(block_mask(cam, config.method.block, config.method.top_k))
            for mask, one in zip(masks, found, strict=True):
                mask[stage] = one
    return masks


def _outline(config: Config, heads: int) -> dict[str, Any] | None:
    """Size and number of the blocks that a method replaces by the CAM; None of other methods."""
    method = get_method(config)
    if heads == 1 or method.level != "feature" or not method.attentive:
        return None
    return {"block": config.method.block, "top_k": config.method.top_k}


def _overlap(run: RunData) -> dict[str, Any] | None:
    """Overlap of the heads' top blocks; None where there is one head, or no blocks."""
    overlaps = run_overlap(run.model, run.config, OVERLAP_IMAGES)
    if np.isnan(overlaps).any():
        return None
    overlap = mean_interval(overlaps, run.config.evaluate.seed)
    (rows, columns), (height, width) = (
        feature_map_size(run.config.data.image_size),
        run.config.method.block,
    )
    blocks = (rows // height) * (columns // width)
    top_k = run.config.method.top_k
    return {
        "value": overlap.mean,
        "interval": [overlap.low, overlap.high],
        "chance": by_chance(blocks, top_k),
        "images": len(overlaps),
        "blocks": blocks,
        "top_k": top_k,
    }
