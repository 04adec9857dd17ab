"""Image files: all of a folder, or those that a CSV file lists."""

import os
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pmm_jax.data.records import OTHER_FORMAT, is_clutter, is_image, not_read, summary_of
from pmm_jax.errors import UserError
from pmm_jax.files import printable
from pmm_jax.pixels import pixels, read_rgb
from pmm_jax.sources.csv_columns import read_columns
from pmm_jax.sources.source import Source, file_stamp


class FileSource(Source):
    """Image files, a row each."""

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self.columns = columns

    def image(self, row: int) -> np.ndarray:
        """As of Source."""
        return read_rgb(str(self.columns["path"][row]))

    def pixels(self, row: int, image_size: tuple[int, int]) -> np.ndarray:
        """As of Source."""
        return pixels(str(self.columns["path"][row]), image_size)

    def stamp(self, row: int) -> str:
        """As of Source."""
        return file_stamp(str(self.columns["path"][row]))


def folder_source(folder: Path, info: Callable[[str], None]) -> FileSource:
    """All images below a folder, sorted by path; hidden ones are left out.

    Args:
        folder: its path.
        info: called with a line on pictures in formats that aren't read.

    Raises:
        UserError: it holds no image, one whose name isn't UTF-8, a link that leads out of it, or a
            folder that can't be read.
    """
    root = os.path.abspath(folder)
    found = sorted(_files_below(root))
    notes = [not_read(path) for path in found if not is_image(posixpath.basename(path))]
    others = [note for note in notes if note.reason == OTHER_FORMAT]
    if others:
        info(printable(summary_of(others)))
    paths = [path for path in found if is_image(posixpath.basename(path))]
    if not paths:
        raise UserError(f"{folder} holds no images; give a folder with some")
    for path in paths:
        if path.encode(errors="ignore").decode() != path:
            name = printable(path)
            raise UserError(f"{name}: file name is not UTF-8; rename it, with convmv say")
    return FileSource({"path": np.array([posixpath.join(root, path) for path in paths])})


def csv_source(file: Path) -> FileSource:
    """The images in the column `path` of a CSV file, which are relative to its folder.

    Raises:
        UserError: it can't be read, or lacks the column.
    """
    columns = read_columns(file, ("path",))
    folder = os.path.abspath(file.parent)
    # Joining keeps a path that is absolute.
    paths = [
        os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
        for path in columns["path"].tolist()
    ]
    return FileSource({**columns, "path": np.array(paths)})


def _files_below(root: str) -> list[str]:
    """Paths relative to the root, without hidden files and folders."""
    real = os.path.realpath(root)
    found: list[str] = []

    def refuse(error: OSError) -> None:
        raise UserError(f"can't read {printable(error.filename)}: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not is_clutter(name)]
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            if os.path.islink(path) and os.path.commonpath([real, os.path.realpath(path)]) != real:
                raise UserError(
                    f"{printable(path)} leads out of {root}; give the folder that it leads to, or "
                    "a CSV file of images"
                )
        below = os.path.relpath(folder, root)
        found += [posixpath.normpath(posixpath.join(below, name)) for name in files]
    return [path for path in found if not posixpath.basename(path).startswith(".")]
