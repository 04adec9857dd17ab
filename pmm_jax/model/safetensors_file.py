"""Safetensors files: tensors, and in ours a header with a checksum of the whole file.

The header is a JSON object, as the text of one metadata entry: other tools read the tensors and
leave it alone.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.files import printable
from pmm_jax.model.torch_file import first_line, refuse_tensor

ENTRY = "pmm_jax"
"""Metadata entry of our header."""
LARGEST_HEADER = 16 * 2**20
"""Bytes of names, shapes and metadata; those of a ResNet-152 with three heads are 100 thousand."""
_CHECKSUM = re.compile(r'\{"sha256": "([0-9a-f]{64})"')
_BLANK = b"0" * 64
"""What stands in the checksum's place while it is computed."""
_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"},
}


def encode_safetensors(tensors: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> bytes:
    """A safetensors file with a header of ours, whose `sha256` is that of all its bytes."""
    from safetensors.numpy import save

    # First in the file, so that no other text of it is taken for the checksum.
    text = json.dumps({"sha256": _BLANK.decode(), **header}, allow_nan=False)
    data = save(dict(tensors), metadata={ENTRY: text})
    return data.replace(_BLANK, hashlib.sha256(data).hexdigest().encode(), 1)


def decode_safetensors(
    path: Path, data: bytes, hint: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All tensors of a safetensors file, half precision as float32, and our header.

    Args:
        path: for messages.
        data: the file.
        hint: end of the message where it can't be read.

    Returns:
        The tensors, and the header without its checksum; empty where the file has none.

    Raises:
        UserError: it is damaged, or holds what can't be weights.
    """
    from safetensors import SafetensorError, deserialize

    length = int.from_bytes(data[:8], "little")
    if length > LARGEST_HEADER:
        raise UserError(
            f"can't read {path} as safetensors (its header has {length:,} bytes); {hint}"
        )
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise UserError(
            f"can't read {path} as safetensors ({first_line(error)}); {hint}"
        ) from error
    # Of two tensors of one name the library keeps one and says nothing.
    names = json.loads(data[8 : 8 + length], object_pairs_hook=lambda pairs: _unique(path, pairs))
    text = _header_text(names.get("__metadata__", {}))
    header = {} if text is None else _header(path, data, text, hint)
    return {name: _array(path, name, **entry) for name, entry in sorted(entries)}, header


def _header_text(metadata: Mapping[str, str]) -> str | None:
    """Our entry; where its very name is damaged, what begins as ours, so that its checksum fails.

    Others' metadata is of any kind, and no ground for refusing their weights.
    """
    ours = (text for text in metadata.values() if _CHECKSUM.match(text))
    return metadata.get(ENTRY, next(ours, None))


def _header(path: Path, data: bytes, text: str, hint: str) -> dict[str, Any]:
    found = _CHECKSUM.match(text)
    digest = found[1].encode() if found else b""
    blank = data.replace(digest, _BLANK, 1) if digest else b""
    if hashlib.sha256(blank).hexdigest().encode() != digest:
        raise UserError(f"{path} is damaged: it is not as it was written; {hint}")
    try:
        header: dict[str, Any] = json.loads(
            text,
            object_pairs_hook=lambda pairs: _unique(path, pairs),
            parse_constant=_refuse_constant,
        )
    # Nested without end, or no JSON at all: whoever wrote it can compute a checksum as well.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} has a header that can't be read; {hint}") from error
    del header["sha256"]
    return header


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise UserError(f"{path} has two entries {printable(twice)}; write it again")
    return found


def _array(path: Path, name: str, dtype: str, shape: list[int], data: bytearray) -> np.ndarray:
    kind = _TYPES.get(dtype)
    if kind is None:
        refuse_tensor(path, name, f"is of type {dtype}")
    if max(shape, default=0) > len(data):  # a side of 0 hides the others from the library
        refuse_tensor(path, name, f"has the shape {tuple(shape)}, which holds nothing")
    values = np.frombuffer(data, kind).reshape(shape)
    return values.astype(np.float32) if values.itemsize == 2 and dtype[0] in "FB" else values
