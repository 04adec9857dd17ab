"""The README's figure: how PMM mixes training images, as a trained run sees them.

    pmm demo
    python -m benchmarks.tools.method_figure --workdir runs/demo --out docs/images/method.webp

The batch is the run's first, without augmentation; CAMs, blocks and negatives are those of the
method's own forward pass. Mixing acts on feature maps, so the mixed panels show where on the images
each cell comes from. The default anchors are two of the batch's 64, picked by eye. Only pictures of
synthetic people belong in the repository. One run gives one picture, to the byte.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from pmm_jax.data.augment import normalize
from pmm_jax.data.decode import decode_record
from pmm_jax.errors import UserError
from pmm_jax.files import user_path
from pmm_jax.methods import TrainBatch, get_method
from pmm_jax.methods.pmm import PMM
from pmm_jax.model.pmm import TrainPass
from pmm_jax.training.setup import training_data
from pmm_jax.workdir.restore import restore_run

WIDTH, MARGIN, GAP, HEADER = 1600, 16, 28, 76
"""Pixels."""
TITLES = [
    ("Anchor", "training image"),
    ("Stage I", "Grad-CAM"),
    ("Block ranking", "top {} of {} blocks"),
    ("Negative", "another identity"),
    ("Hard-Mix", "input of stage II"),
    ("Stage II", "Grad-CAM"),
    ("Hard-Mix", "input of stage III"),
]
SIGNS = "→→+=→→"
INK, MUTED, RED, BLUE = "#1f2328", "#59636e", "#ff2d3d", "#1f7aff"


class Anchor(NamedTuple):
    """What a row shows: an image (H, W, 3), and what stages II and III are fed in its place."""

    image: np.ndarray
    cams: list[np.ndarray]
    """(h, w) of stages I and II."""
    replaced: list[np.ndarray]
    """(rows, columns) bool, for stages II and III: blocks that become the negative's."""
    negatives: list[np.ndarray]
    """(H, W, 3), for stages II and III."""

    def mixed(self, stage: int) -> np.ndarray:
        """The image, with the negative's pixels in the replaced blocks of stage 2 or 3."""
        replaced = self.replaced[stage - 2]
        block = np.array(self.image.shape[:2]) // replaced.shape
        cells = np.kron(replaced, np.ones(block, bool))[..., None]
        return np.where(cells, self.negatives[stage - 2], self.image)


def mix_anchors(workdir: Path, positions: list[int]) -> list[Anchor]:
    """What a trained run makes of these images of its first batch.

    Raises:
        UserError: there is no such run, its images can't be read, or it isn't one of PMM.
    """
    config, network, params, batch_stats = restore_run(workdir, "latest")
    method, size = get_method(config)(config), config.data.image_size
    settings = config.method.stages, config.method.mining, config.method.cumulative
    if type(method) is not PMM or settings != (3, "random", False):
        raise UserError(f"{workdir} isn't a run of PMM with three stages, as released; give one")
    split, sampler = training_data(config)
    members = sampler.batch(0)
    images = np.stack([decode_record(split, int(member), size) for member in members])
    labels = jnp.asarray(sampler.labels[members])
    sample = method.sample(jax.random.split(jax.random.key(config.train.seed)), labels)
    batch = TrainBatch(normalize(jnp.asarray(images)), labels, sample)
    variables = {"params": params, "batch_stats": batch_stats}
    outputs = jax.jit(lambda x: method.forward(TrainPass(network, variables), x))(batch)
    high, wide = config.method.block
    return [
        Anchor(
            images[i],
            [np.asarray(cam[i]) for cam in outputs.cams],
            [~np.asarray(mask[i, ::high, ::wide]) for mask in outputs.masks],
            [images[int(negatives[i])] for negatives in sample.negatives],
        )
        for i in positions
    ]


def draw(anchors: list[Anchor]) -> Figure:
    """A row of panels for each anchor."""
    width = (WIDTH - 2 * MARGIN - GAP * len(SIGNS)) / len(TITLES)
    height = width * anchors[0].image.shape[0] / anchors[0].image.shape[1]
    total = round(HEADER + len(anchors) * (height + MARGIN))
    figure = Figure(figsize=(WIDTH / 100, total / 100), dpi=100, facecolor="white")
    replaced = anchors[0].replaced[0]
    lefts = [MARGIN + column * (width + GAP) for column in range(len(TITLES))]
    for left, (title, subtitle) in zip(lefts, TITLES, strict=True):
        x, subtitle = (left + width / 2) / WIDTH, subtitle.format(replaced.sum(), replaced.size)
        figure.text(x, 1 - 32 / total, title, ha="center", size=17, weight="bold", color=INK)
        figure.text(x, 1 - 60 / total, subtitle, ha="center", size=13.5, color=MUTED)
    for row, anchor in enumerate(anchors):
        bottom = 1 - (HEADER + row * (height + MARGIN) + height) / total
        panels = [
            figure.add_axes((left / WIDTH, bottom, width / WIDTH, height / total)) for left in lefts
        ]
        draw_row(panels, anchor)
        for left, sign in zip(lefts[1:], SIGNS, strict=True):
            place = (left - GAP / 2) / WIDTH, bottom + height / total / 2
            figure.text(*place, sign, ha="center", va="center", size=17, color=MUTED)
    return figure


def draw_row(panels: list[Axes], anchor: Anchor) -> None:
    """The panels of one anchor, in the order of TITLES."""
    image, (cam1, cam2), mixed = anchor.image, anchor.cams, anchor.mixed(2)
    pictures = [image, overlay(image, cam1), image, anchor.negatives[0], mixed]
    pictures += [overlay(mixed, cam2), anchor.mixed(3)]
    for axes, picture in zip(panels, pictures, strict=True):
        axes.imshow(picture, interpolation="lanczos", aspect="auto")
        axes.axis("off")
    second, third = anchor.replaced
    for axes, blocks, color in [
        (panels[2], second, RED),
        (panels[3], second, BLUE),
        (panels[4], second, BLUE),
        (panels[6], third, BLUE),
    ]:
        high, wide = np.array(image.shape[:2]) / blocks.shape
        inset = image.shape[1] / 80
        for y, x in np.argwhere(blocks):
            corner = x * wide - 0.5 + inset, y * high - 0.5 + inset
            side = wide - 2 * inset, high - 2 * inset
            axes.add_patch(Rectangle(corner, *side, fill=False, ec=color, lw=3.5))


def overlay(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """The image in gray under its CAM, which is scaled to its maximum."""
    size = image.shape[1], image.shape[0]
    scaled = Image.fromarray(cam / max(cam.max(), 1e-12)).resize(size, Image.Resampling.BICUBIC)
    heat = np.asarray(scaled).clip(0, 1)
    opacity = 0.15 + 0.55 * heat[..., None]
    gray = image.mean(2, keepdims=True) / 255
    return (1 - opacity) * gray + opacity * colormaps["turbo"](heat)[..., :3]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draw the README's figure.")
    parser.add_argument("--workdir", type=user_path, default=Path("runs/demo"))
    parser.add_argument("--out", type=user_path, default=Path("docs/images/method.webp"))
    parser.add_argument("--anchors", type=int, nargs="+", default=[12, 3], help="of the batch")
    options = parser.parse_args()
    try:
        anchors = mix_anchors(options.workdir, options.anchors)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    canvas = FigureCanvasAgg(draw(anchors))
    canvas.draw()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    Image.fromarray(np.ascontiguousarray(pixels)).save(options.out, quality=90)


if __name__ == "__main__":
    main()
