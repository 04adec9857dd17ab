"""Arrays of an npz file, read without ever unpickling."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pmm_jax.errors import UserError


def read_npz(path: Path, names: Sequence[str], what: str) -> dict[str, np.ndarray]:
    """Those arrays of a file; others in it are left alone.

    Args:
        path: the file.
        names: arrays that it must hold.
        what: that it should be, such as "a golden file", for the message where it isn't.

    Raises:
        UserError: no such file, not an npz file, a damaged one, a missing array or a pickled one.
    """
    with _opened(path, what) as file:
        missing = [name for name in names if name not in file.files]
        if missing:
            few = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
            raise UserError(f"{path} lacks {few}; it is not {what}")
        return {name: _array(path, name, file) for name in names}


def array_names(path: Path, what: str) -> frozenset[str]:
    """Names of the arrays in a file; none is read.

    Args:
        path: the file.
        what: that it should be, for the message where it isn't.

    Raises:
        UserError: no such file, not an npz file, or a damaged one.
    """
    with _opened(path, what) as file:
        return frozenset(file.files)


@contextmanager
def _opened(path: Path, what: str) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with path.open("rb") as stream:  # np.load leaves a file that it refuses open
            # np.load would also take .npy and pickles; only a zip archive can be an npz.
            if not zipfile.is_zipfile(stream):
                raise UserError(f"{path} is not an npz file; write it with numpy.savez")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                yield file
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}; give {what}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); write it again") from error


def _array(path: Path, name: str, file: np.lib.npyio.NpzFile) -> np.ndarray:
    try:
        array = file[name]
    except ValueError as error:
        # numpy's refusal of pickled objects, or of a broken header.
        raise UserError(
            f"{path}: {name} can't be read as a plain array: pickled objects are never loaded; "
            "save numbers, as float32 or int64"
        ) from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: {name} is not an array; save it with numpy.savez")
    return array
