"""Arrays of an npz file, read without ever unpickling, and never more than the file can hold."""

import ast
import math
import operator
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from pmm_jax.errors import UserError
from pmm_jax.files import open_regular, printable

ENDING = ".npy"
DEFLATE = 1032
"""Largest compression ratio of Deflate."""
LENGTHS = {(1, 0): 2, (2, 0): 4}
"""Bytes of a header's length, by npy version."""
LONGEST_HEADER = 10_000
"""NumPy's own limit."""
PIECE = 1 << 20
"""Bytes read at once."""
METHODS = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
"""Compression methods of numpy.savez and numpy.savez_compressed."""


def read_npz(path: Path, names: Sequence[str], what: str) -> dict[str, np.ndarray]:
    """Those arrays of a file; others in it are left alone.

    Args:
        path: the file.
        names: arrays that it must hold.
        what: that it should be, such as "a golden file", for the message where it isn't.

    Raises:
        UserError: no such file, not an npz file, a damaged one, a missing array, a pickled one, or
            arrays that don't fit into memory.
    """
    with _opened(path, what) as file:
        members = _members(path, file)
        missing = [name for name in names if name not in members]
        if missing:
            few = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
            raise UserError(f"{path} lacks {few}; it is not {what}")
        needed = sum(_checked_size(path, name, file, members[name]) for name in names)
        if needed > memory():
            raise UserError(
                f"{path}: {', '.join(names)} take {needed / 2**30:.1f} GiB, and this machine has "
                f"{memory() / 2**30:.1f} GiB of memory; save fewer images, or as float32"
            )
        return {name: _array(path, name, file, members[name]) for name in names}


def array_names(path: Path, what: str) -> frozenset[str]:
    """Names of the arrays in a file; none is read.

    Args:
        path: the file.
        what: that it should be, for the message where it isn't.

    Raises:
        UserError: no such file, not an npz file, or a damaged one.
    """
    with _opened(path, what) as file:
        return frozenset(_members(path, file))


@contextmanager
def _opened(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    try:
        with open_regular(path) as stream:
            # np.load would also take .npy and pickles; only a zip archive can be an npz.
            if not zipfile.is_zipfile(stream):
                raise UserError(f"{path} is not an npz file; write it with numpy.savez")
            stream.seek(0)
            with zipfile.ZipFile(stream) as file:
                yield file
    except MemoryError as error:
        raise UserError(f"{path} takes more memory than there is; save fewer images") from error
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}; give {what}") from error
    # What zipfile and zlib make of bytes that are no archive.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        ValueError,
        OverflowError,
    ) as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise UserError(f"{path} is damaged ({reason}); write it again") from error


def _members(path: Path, file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in file.infolist():
        name = info.filename.removesuffix(ENDING)
        if name in members:
            raise UserError(f"{path} holds {printable(name)} twice; write it again")
        members[name] = info
    return members


def _checked_size(path: Path, name: str, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Bytes of an array, once its header and the archive agree on them.

    Raises:
        UserError: no plain array, or a size that the archive can't hold.
    """
    if not info.filename.endswith(ENDING):
        raise UserError(f"{path}: {name} is not an array; save it with numpy.savez")
    if info.compress_type not in METHODS:
        raise UserError(
            f"{path}: {name} is compressed in a way that NumPy doesn't write; write it with "
            "numpy.savez"
        )
    most = info.compress_size * (DEFLATE if info.compress_type == zipfile.ZIP_DEFLATED else 1)
    with file.open(info) as member:
        shape, dtype, _ = _header(path, name, member)
        start = member.tell()
    if dtype.hasobject:
        raise UserError(
            f"{path}: {name} can't be read as a plain array: pickled objects are never loaded; "
            "save numbers or text, such as float32, int64 or numpy.array(names, dtype=str)"
        )
    if dtype.names is not None or dtype.subdtype is not None:
        raise UserError(f"{path}: {name} holds records ({dtype}); save one plain array of each")
    size = math.prod(shape) * dtype.itemsize
    if start + size != info.file_size or info.file_size > most:
        raise UserError(
            f"{path} is damaged: {name} says that it has shape {shape} of {dtype}, and the file "
            "holds another number of bytes; write it again"
        )
    return size


def _header(path: Path, name: str, member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, type and whether in Fortran order; the member is then at its data.

    Read here because NumPy passes a header through Python's tokenizer, which fails in its own ways.
    """
    try:
        version = npy.read_magic(member)
        if version not in LENGTHS:  # 3.0 differs by names of fields alone, which no plain array has
            raise UserError(
                f"{path}: {name} is of npy version {version[0]}.{version[1]}, which plain arrays "
                "don't need; write it with numpy.savez"
            )
        length = int.from_bytes(member.read(LENGTHS[version]), "little")
        if length > LONGEST_HEADER:
            raise ValueError("too long")
        said = ast.literal_eval(member.read(length).decode("latin-1").strip())
        shape, dtype = tuple(map(operator.index, said["shape"])), npy.descr_to_dtype(said["descr"])
        is_fortran = bool(said["fortran_order"])
    # A header can be anything, and each of these is what Python or NumPy makes of some.
    except (ValueError, TypeError, SyntaxError, LookupError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{path}: {name} can't be read as a plain array: its header is damaged; write it with "
            "numpy.savez"
        ) from error
    if any(size < 0 for size in shape):
        raise UserError(f"{path} is damaged: {name} says that it has shape {shape}; write it again")
    return shape, dtype, is_fortran


def _array(path: Path, name: str, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with file.open(info) as member:
        shape, dtype, is_fortran = _header(path, name, member)
        data = bytearray(math.prod(shape) * dtype.itemsize)
        for start in range(0, len(data), PIECE):
            end = min(start + PIECE, len(data))
            data[start:end] = piece = member.read(end - start)
            if len(piece) < end - start:
                raise EOFError(f"{name} ends too early")
        member.read(1)  # at the end zipfile compares the checksum
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
