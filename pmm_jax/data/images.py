"""Reading and decoding of the user's image files, whose format is checked by content."""

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pmm_jax.errors import UserError
from pmm_jax.files import open_regular, printable

MAX_PIXELS = 2**28 // 3
"""Pixels of an image, at most: PIL's own limit, where it takes 256 MiB as RGB."""
MAX_BYTES = 2**28
"""Bytes of an image file, at most: no image within the limit needs more."""

# Image.open would try every format that PIL knows, EPS among them, which starts Ghostscript; and
# beyond its limit of pixels it only warns. JpegImageFile gives an MPO file's first picture.
_FORMATS: tuple[tuple[bytes, Callable[[io.BytesIO], ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"BM", BmpImageFile),
    (b"RIFF", WebPImageFile),
)
"""First bytes of each format, and its decoder; records.IMAGE_SUFFIXES are their names."""

_UNDECODABLE = "can't be decoded"
_RESTORE = "restore it from where it came from, or leave it out"
_SMALLER = "store it smaller"

_ORIENTATION = 0x0112
"""EXIF's tag."""


class ImageError(UserError):
    """An image that can't be used."""

    def __init__(self, name: str, reason: str, hint: str, detail: str = "") -> None:
        """Make the message.

        Args:
            name: of the image.
            reason: what is wrong, from its verb on, the same for all images of a kind.
            hint: what to do about it, likewise.
            detail: what is wrong with this one, where that differs.
        """
        super().__init__(f"{name} {reason}{f' ({detail})' if detail else ''}; {hint}")
        self.reason, self.hint, self.detail = reason, hint, detail


def read_image(path: str | os.PathLike[str]) -> bytes:
    """The encoded image in a file.

    Raises:
        ImageError: it is no regular file, or too large for an image.
        OSError: it can't be read.
    """
    name = printable(str(path))
    try:
        file = open_regular(path)
    except UserError as error:
        reason = "is a pipe, a device or a folder, not an image file"
        raise ImageError(name, reason, "leave it out") from error
    with file:
        # Looked at first: nobody waits for a terabyte of zeros to be read.
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ImageError(name, f"is larger than {MAX_BYTES >> 20} MiB", _SMALLER)
        # Python makes room for all that it is asked for first.
        return file.read(size)


@contextmanager
def open_image(encoded: bytes, name: str = "the image") -> Iterator[Image.Image]:
    """An encoded image, of several frames the first, to be decoded within the `with`.

    Args:
        encoded: a JPEG, PNG, BMP or WEBP file's bytes.
        name: for the message.

    Raises:
        ImageError: it is of another format, damaged, or too large.
    """
    opened_by = next((opens for start, opens in _FORMATS if encoded.startswith(start)), None)
    if opened_by is None:
        what = "it is no JPEG, PNG, BMP or WEBP image" if encoded else "the file is empty"
        raise ImageError(name, _UNDECODABLE, _RESTORE, what)
    with decoding(name), opened_by(io.BytesIO(encoded)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(name, f"has more than {MAX_PIXELS:,} pixels", _SMALLER)
        yield image


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever PIL raises within is an ImageError, of the image of that name."""
    try:
        yield
    except ImageError:
        raise
    # PIL's plugins raise many types on damaged input (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        raise ImageError(name, _UNDECODABLE, _RESTORE, one_line(error)) from error


def is_rotated(image: Image.Image) -> bool:
    """Whether EXIF asks viewers to turn or mirror the image, which nothing here does."""
    try:
        return image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    # As many types as there are kinds of damage; the pixels are sound all the same.
    except Exception:
        return False


def one_line(error: BaseException) -> str:
    """An error's text without line breaks and addresses."""
    # PIL names the buffer's address where a file name would stand.
    text = re.sub(r" <_io\.BytesIO object at \w+>", "", str(error))
    return printable(" ".join(text.split())) or type(error).__name__
