"""Convert images of any form that the API accepts to uint8 arrays."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike

import numpy as np
from PIL import Image

from pmm_jax.data.decode import to_rgb
from pmm_jax.data.images import decoding, open_image, read_image
from pmm_jax.errors import UserError
from pmm_jax.files import printable, user_path

AnyImage = str | PathLike[str] | Image.Image | np.ndarray
"""A path, a PIL image, or an (H, W, 3) uint8 RGB array of any size."""

Images = Sequence[AnyImage] | np.ndarray
"""Several of them, or one (N, H, W, 3) array."""


def check_images(verb: str, images: Images, batch_size: int) -> None:
    """Refuse what is no sequence of images, before any work.

    Raises:
        UserError: one image alone, none, or a batch size below 1.
    """
    if isinstance(images, str | PathLike | Image.Image):
        raise UserError(f"{verb} takes several images: give a list, even of one")
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1")
    if not len(images):
        raise UserError(f"{verb} was given no images")


def pixel_batches(
    images: Images, image_size: tuple[int, int], batch_size: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Batches (batch_size, H, W, 3) uint8, the last filled up with black, and how many count.

    Messages number the images from 0.

    Raises:
        UserError: as of `pixels`.
    """
    for start in range(0, len(images), batch_size):
        some = [
            pixels(image, image_size, f"image {number}")
            for number, image in enumerate(images[start : start + batch_size], start)
        ]
        batch = np.zeros((batch_size, *image_size, 3), np.uint8)
        batch[: len(some)] = some
        yield batch, len(some)


def read_rgb(path: str | PathLike[str]) -> np.ndarray:
    """The image in a file, (H, W, 3) uint8 in its own size.

    Raises:
        UserError: it can't be read, or is no image.
    """
    with _opened(path) as image:
        return np.asarray(to_rgb(image))


def pixels(image: AnyImage, image_size: tuple[int, int], name: str = "the image") -> np.ndarray:
    """One image, resized bilinearly to (height, width): (H, W, 3) uint8.

    Args:
        image: a path, or pixels.
        image_size: height and width.
        name: for the message, where it isn't a path.

    Raises:
        UserError: it can't be read, is no image, has no pixels, or has another type or shape.
    """
    if isinstance(image, str | PathLike):
        with _opened(image) as opened:
            return _resized(opened, image_size)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(
                f"{name} is an array of shape {image.shape} and type {image.dtype}; it must be "
                "(height, width, 3) uint8, RGB"
            )
        image = Image.fromarray(image) if image.size else Image.new("RGB", (0, 0))
    if not isinstance(image, Image.Image):
        raise UserError(
            f"{name}: {type(image).__name__} is no image: give a path, PIL image or array"
        )
    if 0 in image.size:
        raise UserError(f"{name} has 0 pixels; leave it out")
    with decoding(name):  # PIL images are often opened and not yet decoded
        return _resized(image, image_size)


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[Image.Image]:
    name = printable(str(path))
    try:
        with open_image(read_image(user_path(path)), f"image {name}") as image:
            yield image
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"can't read image {name}: {reason}") from error


def _resized(image: Image.Image, image_size: tuple[int, int]) -> np.ndarray:
    height, width = image_size
    return np.asarray(to_rgb(image).resize((width, height), Image.Resampling.BILINEAR))
