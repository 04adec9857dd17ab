"""Encoded images to uint8 arrays at the network's size, on the host."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from pmm_jax.data.images import open_image
from pmm_jax.data.split import Split
from pmm_jax.errors import UserError


def decode(encoded: bytes, image_size: tuple[int, int], name: str = "the image") -> np.ndarray:
    """The image as RGB, resized as torchvision's Resize does with PIL images (bilinear).

    Args:
      encoded: a JPEG, PNG, BMP or WEBP file's bytes, of any mode that PIL reads. Gray is repeated
        over the channels, transparency dropped, 16 bits cut to the upper 8. EXIF rotation is not
        applied, as in torchvision.
      image_size: height and width in pixels.
      name: of the image, for the message.

    Returns:
      (H, W, 3) uint8.

    Raises:
      ImageError: the bytes are no whole image.
    """
    size = (image_size[1], image_size[0])
    with open_image(encoded, name) as image:
        return np.asarray(to_rgb(image).resize(size, Image.Resampling.BILINEAR), np.uint8)


def decode_record(split: Split, index: int, image_size: tuple[int, int]) -> np.ndarray:
    """One image of a split, as `decode`.

    Raises:
      UserError: the prepared form is damaged, or this PIL can't decode what it could before.
    """
    return decode(split.read(index), image_size, split.filenames[index])


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, whatever its own mode."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        # PIL's own conversion clips 16-bit gray at 255: nearly everything would turn white.
        gray = np.asarray(image, dtype=np.int64) >> 8
        return Image.fromarray(gray.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        # The direct way warns about transparency given as bytes.
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def empty_images(shape: tuple[int, ...], limit: str) -> np.ndarray:
    """Uint8 array for decoded images.

    Raises:
      UserError: the host has no memory for it; the field that allowed it is named.
    """
    try:
        return np.empty(shape, np.uint8)
    except MemoryError as error:
        size = math.prod(shape) / 2**30
        raise UserError(
            f"this machine has no {size:.1f} GiB for the decoded training images; set {limit} "
            "below that, and they are decoded each time"
        ) from error


def decode_split(
    split: Split,
    image_size: tuple[int, int],
    workers: int,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Every image of a split, decoded by a pool of threads (PIL frees the GIL while it works).

    Args:
      split: as `open_split` returns it.
      image_size: height and width in pixels.
      workers: threads.
      progress: called with the number of images finished since its last call.

    Returns:
      (N, H, W, 3) uint8, in the split's order: N * H * W * 3 bytes.

    Raises:
      UserError: as `decode_record`, or there is no memory for all of them.
    """
    images = empty_images((len(split), *image_size, 3), "data.device_cache_gib")

    def fill(chunk: range) -> int:
        for index in chunk:
            images[index] = decode_record(split, index, image_size)
        return len(chunk)

    chunks = [range(i, min(i + 64, len(split))) for i in range(0, len(split), 64)]
    with ThreadPoolExecutor(workers) as pool:
        for finished in pool.map(fill, chunks):
            if progress is not None:
                progress(finished)
    return images
