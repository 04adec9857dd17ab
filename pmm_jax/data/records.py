"""Records of a scan: one per image, and the problems found."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

SPLITS = ("train", "query", "gallery")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Formats that are read, in capital letters, too."""
_OTHER_FORMATS = re.compile(r"\.(tiff?|gif|hei[cf]|avif|jp2|jxl|p[pg]m)\Z", re.IGNORECASE)

_CLUTTER = re.compile(
    r"\..*|__macosx|@(eadir|recycle|tmp)|#(recycle|snapshot)|\$recycle\.bin|lost\+found|thumbnails"
    r"|system volume information",
    re.IGNORECASE,
)

EXAMPLES = 3
"""Files of one kind that a message names."""

NOT_AN_IMAGE = "not an image, skipped"
OTHER_FORMAT = f"in a format that is not read ({', '.join(IMAGE_SUFFIXES)} are), skipped"
UNKNOWN_CAMERA = -1
"""Number of an unknown camera in a scan; `prepare` then numbers such images apart."""


@dataclass(frozen=True)
class Record:
    """One image of a split."""

    path: str
    """Path relative to the root, with forward slashes; for cuhk-03.mat, the image's name in it."""
    identity: int
    """Identity on the image, numbered as the data set does."""
    camera: int
    """Camera number. Where no camera is known, `prepare` makes it negative and unique to the image,
    so that the rule "same identity and same camera removed" removes only the query image itself."""


@dataclass(frozen=True)
class Problem:
    """A file that was left out, is unusual, or can't be used."""

    path: str
    """File or list line, relative to the root."""
    reason: str
    """Description of the problem, the same for all of one kind."""
    fatal: bool
    """Whether preparing must stop."""
    hint: str = ""
    """Remedy for problems of this kind."""
    detail: str = ""
    """Description of this one file's problem, where that differs within a kind."""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.path}: {self.reason}{detail}"


@dataclass(frozen=True)
class Scan:
    """Contents of a data set, before any image is decoded.

    Example:
        >>> from pmm_jax.data.datasets import Record, Scan
        >>> known, other = Record("a.jpg", identity=7, camera=1), Record("b.jpg", 8, 2)
        >>> scan = Scan({"train": [known], "query": [], "gallery": [other]}, names={7: "Clara"})
        >>> [record.path for record in scan.records()]
        ['a.jpg', 'b.jpg']
        >>> [split for split, record in scan.labeled()]
        ['train', 'gallery']
    """

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
        return (record for _, record in self.labeled())

    def labeled(self) -> Iterable[tuple[str, Record]]:
        """All records with the name of their split, train first."""
        return ((split, record) for split in SPLITS for record in self.splits[split])


def is_image(name: str) -> bool:
    """Whether a file name is one of an image; macOS's `._0001.jpg` leftovers are not."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def not_read(path: str) -> Problem:
    """The note on a file that `is_image` refuses."""
    if _OTHER_FORMATS.search(path) and not path.rpartition("/")[2].startswith("."):
        return Problem(path, OTHER_FORMAT, fatal=False, hint="convert it to PNG")
    return Problem(path, NOT_AN_IMAGE, fatal=False)


def is_clutter(folder: str) -> bool:
    """Whether a folder is hidden, or one of those that systems leave behind: previews, bins."""
    return bool(_CLUTTER.fullmatch(folder))


def summary_of(problems: list[Problem], everything: str = "") -> str:
    """One line on problems of one kind or more: number, three examples, and what to do.

    Args:
      problems: one at least; the first's kind is named, the others are counted.
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
    """Note on files that the scan left out, for an error message; empty where there are none."""
    skipped = [problem for problem in problems if not problem.fatal]
    return f" (left out: {summary_of(skipped)})" if skipped else ""
