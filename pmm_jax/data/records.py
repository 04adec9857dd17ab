"""What a scan of a data set finds: one record an image, and the problems met on the way."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pmm_jax.data.images import read_image

SPLITS = ("train", "query", "gallery")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

NOT_AN_IMAGE = "not an image, skipped"
LEAVES_ROOT = "leads out of the data set's folder; copy the image into it"


@dataclass(frozen=True)
class Record:
    """One image of a split."""

    path: str
    """Path relative to the root, with forward slashes; for cuhk-03.mat, the image's name in it."""
    identity: int
    """Whose image it is, numbered as the data set does."""
    camera: int
    """Camera number; negative and unique to the image where no camera is known, so that the rule
    "same identity and same camera removed" removes only the query image itself."""


@dataclass(frozen=True)
class Problem:
    """A file that was left out, is odd, or can't be used."""

    path: str
    """File or list line, relative to the root."""
    reason: str
    """What is wrong; problems of one kind share their wording."""
    fatal: bool
    """Whether preparing must stop."""


@dataclass(frozen=True)
class Scan:
    """What a data set holds, before a single image is decoded."""

    splits: dict[str, list[Record]]
    """Records of `train`, `query` and `gallery`, in the order in which they are stored."""
    problems: list[Problem] = field(default_factory=list)
    """Everything that the user may want to know about."""
    names: dict[int, str] = field(default_factory=dict)
    """Name of each identity, where the data set names them by more than a number."""

    def records(self) -> Iterable[Record]:
        """All records, train first."""
        return (record for _, record in self.labelled())

    def labelled(self) -> Iterable[tuple[str, Record]]:
        """All records with the name of their split, train first."""
        return ((split, record) for split in SPLITS for record in self.splits[split])


def is_image(name: str) -> bool:
    """Whether a file name is one of an image; macOS's `._0001.jpg` leftovers are not."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


class Fence:
    """Tells whether paths stay inside a folder, symbolic links followed."""

    def __init__(self, root: Path):
        self._root = os.path.realpath(root)
        # One lookup a folder, not an image: realpath costs a system call for each path component.
        self._folders: dict[str, bool] = {}

    def holds(self, path: str) -> bool:
        """Whether `path`, relative to the root or absolute, lies inside the root."""
        full = os.path.join(self._root, path)
        folder = os.path.dirname(full)
        if folder not in self._folders:
            self._folders[folder] = self._inside(os.path.realpath(folder))
        if not self._folders[folder]:
            return False
        return not os.path.islink(full) or self._inside(os.path.realpath(full))

    def _inside(self, real: str) -> bool:
        return real == self._root or real.startswith(self._root.rstrip(os.sep) + os.sep)


def fenced(root: Path, records: Iterable[Record]) -> tuple[list[Record], list[Problem]]:
    """The records that stay inside the root, and a fatal problem for each that does not."""
    fence = Fence(root)
    kept: list[Record] = []
    problems: list[Problem] = []
    for record in records:
        if fence.holds(record.path):
            kept.append(record)
        else:
            problems.append(Problem(record.path, LEAVES_ROOT, fatal=True))
    return kept, problems


def file_reader(root: Path) -> Callable[[str], bytes]:
    """Function from a record's path to its encoded image, for images that are files."""
    return lambda path: read_image(root / path)
