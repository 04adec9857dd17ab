"""Crops and CAM overlays as pictures that a page holds in itself."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from pmm_jax.errors import UserError
from pmm_jax.report.run_data import RunData, resized

HEIGHT = 128
"""Pixels of a thumbnail."""
QUALITY = 75
CAM_OPACITY = 0.5
"""Of the colors laid over an image where its CAM is highest."""
OUTLINE = (255, 255, 255)
GAP = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 2' width='64' "
    "height='128'%3E%3Crect width='1' height='2' fill='%23999'/%3E%3C/svg%3E"
)
"""Stands where a picture is missing."""
MISSING = (153, 153, 153)
"""Likewise in a sprite sheet."""


def data_uri(image: Image.Image, lossless: bool = False) -> str:
    """A picture as WebP in a data URI."""
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=QUALITY, method=2, lossless=lossless)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def thumbnail(run: RunData, path: str, height: int = HEIGHT) -> str:
    """Data URI of an image of query or gallery; GAP where it can't be had, and the run notes it."""
    try:
        return data_uri(resized(run.image(path), height))
    except UserError as error:
        run.missing[path] = str(error)
        return GAP


class SpriteSheet(NamedTuple):
    """Pictures in cells of one picture, row by row."""

    image: Image.Image
    cell: tuple[int, int]
    """Width and height of a cell in pixels."""
    columns: int


def sprite_sheet(
    run: RunData, paths: Sequence[str], size: int, columns: int = 40
) -> SpriteSheet | None:
    """Crops of query or gallery as one picture; the run notes those that can't be had.

    Args:
        run: has the images.
        paths: of the images, in the cells' order.
        size: pixels of a crop's longer side.
        columns: cells in a row.

    Returns:
        None where no crop can be had; then the run notes one.
    """
    crops, reasons = {}, {}
    for number, path in enumerate(paths):
        try:
            crop = resized(run.image(path), size)
            crops[number] = ImageOps.contain(crop, (size, size), Image.Resampling.BILINEAR)
        except UserError as error:
            reasons[path] = str(error)
    if not crops:
        run.missing.update(list(reasons.items())[:1])
        return None
    run.missing.update(reasons)
    width = max(crop.width for crop in crops.values())
    height = max(crop.height for crop in crops.values())
    rows = -(-len(paths) // columns)
    sheet = Image.new("RGB", (width * columns, height * rows), MISSING)
    for number, crop in crops.items():
        row, column = divmod(number, columns)
        sheet.paste(crop, (column * width + (width - crop.width) // 2, row * height))
    return SpriteSheet(sheet, (width, height), columns)


def overlay(
    image: np.ndarray, cam: np.ndarray, mask: np.ndarray | None = None, height: int = 2 * HEIGHT
) -> Image.Image:
    """An image with its CAM in colors over it, and the replaced blocks outlined.

    Args:
        image: (H, W, 3) uint8.
        cam: (h, w), >= 0; the colors go from 0 to its own maximum.
        mask: (h, w) bool, False in the blocks to outline (`mixing.block_mask`).
        height: of the picture in pixels.
    """
    below = resized(image, height)
    heat = Image.fromarray(_scaled(cam)).resize(below.size, Image.Resampling.BILINEAR)
    colors = _heat_colors(np.asarray(heat).clip(0, 1))
    alpha = colors[..., 3:]
    blended = np.asarray(below) * (1 - alpha) + 255 * colors[..., :3] * alpha
    picture = Image.fromarray(blended.round().astype(np.uint8))
    if mask is not None:
        _outline(picture, mask)
    return picture


def cam_layer(cam: np.ndarray) -> str:
    """Data URI of what `overlay` lays over an image: a pixel a cell, for the page to stretch.

    Args:
        cam: (h, w), as of `overlay`.
    """
    colors = _heat_colors(_scaled(cam))
    return data_uri(Image.fromarray((255 * colors).round().astype(np.uint8)), lossless=True)


def _scaled(cam: np.ndarray) -> np.ndarray:
    peak = cam.max()
    return np.asarray(cam / peak if peak > 0 else np.zeros_like(cam), np.float32)


def _heat_colors(level: np.ndarray) -> np.ndarray:
    """(h, w, 4): red, green, blue and opacity of levels (h, w), all from 0 to 1."""
    colors = matplotlib.colormaps["inferno"](level)
    colors[..., 3] = CAM_OPACITY * (0.3 + 0.7 * level)
    return colors


def _outline(picture: Image.Image, mask: np.ndarray) -> None:
    """Draw the border between False and True cells."""
    draw = ImageDraw.Draw(picture)
    rows, columns = mask.shape
    xs = np.linspace(0, picture.width - 1, columns + 1)
    ys = np.linspace(0, picture.height - 1, rows + 1)
    out = np.pad(mask, 1, constant_values=True)
    for row, column in np.argwhere(~mask):
        top, bottom, left, right = ys[row], ys[row + 1], xs[column], xs[column + 1]
        for outside, ends in (
            (out[row, column + 1], (left, top, right, top)),
            (out[row + 2, column + 1], (left, bottom, right, bottom)),
            (out[row + 1, column], (left, top, left, bottom)),
            (out[row + 1, column + 2], (right, top, right, bottom)),
        ):
            if outside:
                draw.line(ends, fill=OUTLINE, width=2)
