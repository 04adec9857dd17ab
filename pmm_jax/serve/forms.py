"""What comes in: forms read within limits, and images checked before they are decoded."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

import numpy as np
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from pmm_jax.data.decode import to_rgb
from pmm_jax.data.images import ImageError, open_image
from pmm_jax.files import printable
from pmm_jax.serve import limits

_CROP = f"crop it to the person: {limits.MAX_PIXELS:,} pixels are allowed"


class _Parser(MultiPartParser):
    spool_max_size = limits.MAX_BODY
    """An upload stays in memory."""


class Upload(NamedTuple):
    """A file of a form."""

    name: str
    """As the client calls it."""
    data: bytes


class Form(NamedTuple):
    """A form's fields, of which none comes twice."""

    files: dict[str, Upload]
    texts: dict[str, str]

    def integer(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """A field that holds a whole number.

        Raises:
            HTTPException: it holds none, or one out of range; it is missing and has no default.
        """
        text = self.texts.get(name)
        if text is None and default is not None:
            return default
        return parse_integer(name, text or "", least, most)

    def filter(self) -> str | None:
        """The field `where`; None where it is missing or blank.

        Raises:
            HTTPException: it is too long.
        """
        return parse_filter(self.texts.get("where", ""))


def parse_integer(name: str, text: str, least: int, most: int) -> int:
    """A whole number in decimal digits.

    Raises:
        HTTPException: the text is none, or one out of range.
    """
    # int() takes underscores, spaces and digits of other scripts, too.
    is_number = text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20
    if not is_number or not least <= int(text) <= most:
        raise HTTPException(400, f"{name} must be a whole number from {least} to {most}")
    return int(text)


def parse_filter(text: str) -> str | None:
    """A filter, None where it is blank.

    Raises:
        HTTPException: it is too long.
    """
    if len(text) > limits.MAX_FILTER:
        raise HTTPException(400, f"where has more than {limits.MAX_FILTER} characters")
    return text if text.strip() else None


async def read_form(request: Request, files: set[str], texts: set[str]) -> Form:
    """A request's form.

    Args:
        request: whose body has not been read.
        files: names that a file may have.
        texts: names that another field may have.

    Raises:
        HTTPException: it is too large or too slow, no form, or has other fields.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise HTTPException(415, "send a form: multipart/form-data")
    parser = _Parser(
        request.headers,
        _body(request),
        max_files=limits.MAX_FIELDS,
        max_fields=limits.MAX_FIELDS,
        max_part_size=limits.MAX_FIELD,
    )
    try:
        async with asyncio.timeout(limits.BODY_SECONDS):
            found = await parser.parse()
    except TimeoutError as error:
        raise HTTPException(408, f"the form took over {limits.BODY_SECONDS:.0f} s") from error
    except MultiPartException as error:
        raise HTTPException(400, f"the form can't be read: {printable(error.message)}") from error
    except ClientDisconnect as error:  # nobody hears this
        raise HTTPException(400, "the form is cut off") from error
    try:
        return await _checked(found, files, texts)
    finally:
        await found.close()


async def _body(request: Request) -> AsyncGenerator[bytes, None]:
    left = limits.MAX_BODY
    async for chunk in request.stream():
        left -= len(chunk)
        if left < 0:
            raise HTTPException(413, f"an image may have {limits.MAX_UPLOAD >> 20} MiB")
        yield chunk


async def _checked(found: FormData, files: set[str], texts: set[str]) -> Form:
    form = Form({}, {})
    for name, value in found.multi_items():
        is_file = isinstance(value, UploadFile)
        if name not in (files if is_file else texts):
            known = ", ".join(sorted(files | texts))
            raise HTTPException(400, f"no field {printable(name)[:80]}; there are {known}")
        if name in form.files or name in form.texts:
            raise HTTPException(400, f"{name} comes twice")
        if isinstance(value, UploadFile):
            data = await value.read(limits.MAX_UPLOAD + 1)
            if len(data) > limits.MAX_UPLOAD:
                raise HTTPException(413, f"an image may have {limits.MAX_UPLOAD >> 20} MiB")
            form.files[name] = Upload(printable(value.filename or name)[:255], data)
        else:
            form.texts[name] = value
    return form


def decode_upload(data: bytes) -> np.ndarray:
    """An uploaded image, (H, W, 3) uint8 in its own size.

    Raises:
        ImageError: it is no JPEG, PNG, BMP or WEBP image, damaged, or too large.
    """
    with open_image(data) as image:
        if image.width * image.height > limits.MAX_PIXELS:
            raise ImageError("the image", "has too many pixels", _CROP, f"{image.size}")
        return np.asarray(to_rgb(image))
