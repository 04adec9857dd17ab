"""Images on disk, with the folders that they lie in."""

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

from pmm_jax.data.records import Problem, is_clutter, is_image, not_read

DEPTH = 4
"""Levels of folders that are looked into; one more than any form has, to tell what is too deep."""


@dataclass(frozen=True)
class File:
    """An image file."""

    path: str
    """Relative to the root."""
    folders: tuple[str, ...]
    """Those that it lies in, below the folder that was listed."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return posixpath.basename(self.path)


@dataclass(frozen=True)
class Entry:
    """An image with its labels, before identities and cameras are numbered."""

    path: str
    identity: str
    camera: str | None = None
    split: str = ""


def images_in(
    root: Path, folder: str, problems: list[Problem], below: tuple[str, ...] = ()
) -> list[File]:
    """All images in a folder under the root, by path; what is no image gets a note."""
    files: list[File] = []
    with os.scandir(root / folder) as listing:
        items = sorted((item.name, item.is_dir()) for item in listing)
    for name, is_folder in items:
        path = posixpath.join(folder, name)
        if is_folder:
            if len(below) < DEPTH and not is_clutter(name):
                files += images_in(root, path, problems, (*below, name))
        elif is_image(name):
            files.append(File(path, below))
        else:
            problems.append(not_read(path))
    return files


def folders_in(root: Path) -> list[str]:
    """Sorted names of the folders right under the root, without what systems leave behind."""
    with os.scandir(root) as listing:
        return sorted(item.name for item in listing if item.is_dir() and not is_clutter(item.name))
