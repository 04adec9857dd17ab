"""What a scan of a data set finds: one record an image, and the problems met on the way."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from pmm_jax.data.images import read_image

SPLITS = ("train", "query", "gallery")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Formats that are read, in capital letters, too."""
_OTHER_FORMATS = (
    ".tif",
    ".tiff",
    ".gif",
    ".heic",
    ".heif",
    ".avif",
    ".jp2",
    ".jxl",
    ".ppm",
    ".pgm",
)

_CLUTTER = {
    "__macosx",
    "@eadir",
    "@recycle",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "lost+found",
    "system volume information",
    "thumbnails",
}

EXAMPLES = 3
"""Files of one kind that a message names."""

NOT_AN_IMAGE = "not an image, skipped"
OTHER_FORMAT = f"in a format that is not read ({', '.join(IMAGE_SUFFIXES)} are), skipped"
LEAVES_ROOT = "leads out of the data set's folder"
NOT_UTF8 = "file name is not UTF-8"


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
    hint: str = ""
    """What to do about problems of this kind."""
    detail: str = ""
    """What is wrong with this one file, where that differs within a kind."""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.path}: {self.reason}{detail}"


@dataclass(frozen=True)
class Scan:
    """What a data set holds, before a single image is decoded."""

    splits: dict[str, list[Record]]
    """Records of `train`, `query` and `gallery`, in the order in which they are stored."""
    problems: list[Problem] = field(default_factory=list)
    """Everything that the user may want to know about."""
    names: dict[int, str] = field(default_factory=dict)
    """Name of each identity, where the data set names them by more than a number."""
    camera_names: dict[int, str] = field(default_factory=dict)
    """Name of each camera, likewise."""

    def records(self) -> Iterable[Record]:
        """All records, train first."""
        return (record for _, record in self.labelled())

    def labelled(self) -> Iterable[tuple[str, Record]]:
        """All records with the name of their split, train first."""
        return ((split, record) for split in SPLITS for record in self.splits[split])


class HasPath(Protocol):
    """Anything that stands for an image file."""

    @property
    def path(self) -> str:
        """Path relative to the root, or absolute."""


Labeled = TypeVar("Labeled", bound=HasPath)


def is_image(name: str) -> bool:
    """Whether a file name is one of an image; macOS's `._0001.jpg` leftovers are not."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def not_read(path: str) -> Problem:
    """The note on a file that `is_image` refuses."""
    if path.lower().endswith(_OTHER_FORMATS) and not path.rpartition("/")[2].startswith("."):
        return Problem(path, OTHER_FORMAT, fatal=False, hint="convert it to PNG")
    return Problem(path, NOT_AN_IMAGE, fatal=False)


def is_clutter(folder: str) -> bool:
    """Whether a folder is hidden, or one of those that systems leave behind: previews, bins."""
    return folder.startswith(".") or folder.lower() in _CLUTTER


def summary_of(problems: list[Problem], everything: str = "") -> str:
    """One line on problems of one kind or more: number, three examples, and what to do.

    Args:
      problems: one at least; the first's kind is told, the others are counted.
      everything: says where all of them are listed.
    """
    first = problems[0]
    kind = [problem for problem in problems if problem.reason == first.reason]
    hint = f"; {first.hint}" if first.hint else ""
    others = len(problems) - len(kind)
    more = f" (and {others:,} of other kinds)" if others else ""
    if len(kind) == 1:
        return f"{first}{hint}{more}"
    shown = ", ".join(f"{p.path} ({p.detail})" if p.detail else p.path for p in kind[:EXAMPLES])
    rest = ", ..." if len(kind) > EXAMPLES else ""
    return f"{len(kind):,} x {first.reason}: {shown}{rest}{everything}{hint}{more}"


def left_out(problems: list[Problem]) -> str:
    """What a refusal adds on files that the scan left out; empty where there are none."""
    skipped = [problem for problem in problems if not problem.fatal]
    return f" (left out: {summary_of(skipped)})" if skipped else ""


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


def fenced(root: Path, records: Iterable[Labeled]) -> tuple[list[Labeled], list[Problem]]:
    """The records that stay inside the root, and a fatal problem for each that does not.

    A path that no system could open, or that is not UTF-8, is a fatal problem, too.
    """
    fence = Fence(root)
    kept: list[Labeled] = []
    outside: list[str] = []
    problems: list[Problem] = []
    for record in records:
        path = record.path
        if not _is_utf8(path):
            problems.append(Problem(path, NOT_UTF8, fatal=True, hint="rename it, with convmv say"))
        elif "\0" in path:
            problems.append(Problem(path, "path holds a NUL character", fatal=True))
        elif fence.holds(path):
            kept.append(record)
        else:
            outside.append(path)
    hint = _way_in(root, outside)
    problems += [Problem(path, LEAVES_ROOT, fatal=True, hint=hint) for path in outside]
    return kept, problems


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _way_in(root: Path, paths: list[str]) -> str:
    """What to do about images outside the root, none of which needs to be copied."""
    real = os.path.realpath(root)
    targets = (os.path.realpath(os.path.join(real, path)) for path in paths)
    common = os.path.commonpath([real, *targets])
    where = f"in {common}, which holds them all" if common != os.sep else "in a folder above them"
    return (
        f"images must lie inside {root}, links followed; point data.root at the folder they really "
        f"lie in, or list them in a CSV file {where}"
    )


def file_reader(root: Path) -> Callable[[str], bytes]:
    """Function from a record's path to its encoded image, for images that are files."""
    return lambda path: read_image(root / path)
