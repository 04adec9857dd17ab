"""Market-1501 (Zheng et al., ICCV 2015), and the layout that many later sets copied from it."""

import os
import posixpath
import re
from pathlib import Path
from typing import ClassVar

from pmm_jax.data.datasets.dataset import Dataset, SplitSize
from pmm_jax.data.parsing import int64
from pmm_jax.data.records import Problem, Record, Scan, is_image, not_read, summary_of
from pmm_jax.errors import UserError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
"""Folder of each split."""
JUNK = -1
"""Identity of boxes that are neither a person of the set nor a distractor."""

DOUBLE_SUFFIX = "name ends in .jpg.jpg, used as it is"
JUNK_OUTSIDE_GALLERY = "identity -1 outside the gallery, skipped"
TOO_LONG = "identity or camera is beyond 64 bits"
TOO_LONG_HINT = "shorten it, or use data.name folder, where identities and cameras are any words"
_LOOSE = re.compile(r"[^_]+_c\d+(s\d+)?_")
"""Common part of the file names of most sets."""


class MarketStyle(Dataset):
    """A data set in Market-1501's folders; identity -1 is dropped, identity 0 stays."""

    pattern: ClassVar[re.Pattern[str]]
    """A name from its start up to the first dot, with groups `identity` and `camera`."""
    example: ClassVar[str]
    """A name as it should be, for messages."""
    inside: ClassVar[str] = ""
    """Folder under the root that holds the three folders; empty for the root itself."""

    def list_images(self) -> Scan:
        """List images as `Dataset.list_images`."""
        top = self.root / self.inside
        missing = [name for name in FOLDERS.values() if not (top / name).is_dir()]
        if missing:
            raise UserError(
                f"found no images named like {self.example} under {top}: there is no folder "
                f"{missing[0]}; {_did_you_mean(top)}"
            )
        splits: dict[str, list[Record]] = {}
        problems: list[Problem] = []
        for split, folder in FOLDERS.items():
            paths = [posixpath.join(self.inside, folder, n) for n in os.listdir(top / folder)]
            noted = len(problems)
            found = (self._record(split, path, problems) for path in sorted(paths))
            splits[split] = [record for record in found if record]
            if not splits[split]:
                raise self._no_records(top / folder, problems[noted:])
        return Scan(splits, problems)

    def _record(self, split: str, path: str, problems: list[Problem]) -> Record | None:
        name = posixpath.basename(path)
        if not is_image(name):
            problems.append(not_read(path))
            return None
        match = self.pattern.match(name)
        if match is None:
            problems.append(Problem(path, f"name is not like {self.example}, skipped", fatal=False))
            return None
        identity, camera = int64(match["identity"]), int64(match["camera"])
        if identity is None or camera is None:
            problems.append(Problem(path, TOO_LONG, fatal=True, hint=TOO_LONG_HINT))
            return None
        if identity == JUNK:
            if split != "gallery":
                problems.append(Problem(path, JUNK_OUTSIDE_GALLERY, fatal=False))
            return None
        if name.lower().endswith(".jpg.jpg"):
            problems.append(Problem(path, DOUBLE_SUFFIX, fatal=False))
        return Record(path, identity, camera)

    def _no_records(self, folder: Path, problems: list[Problem]) -> UserError:
        message = f"found no images named like {self.example} under {folder}"
        if not problems:
            return UserError(f"{message}, which is empty; put the data set's images there")
        loose = any(_LOOSE.match(posixpath.basename(problem.path)) for problem in problems)
        loose = loose and not problems[0].hint
        hint = "; data.name folder reads names like 0002_c1_anything.jpg" if loose else ""
        return UserError(f"{message}: {summary_of(problems)}{hint}")


def _did_you_mean(top: Path) -> str:
    """The hint where a folder is missing; often the root is one folder too high."""
    for folder in sorted(top.iterdir()):
        if folder.name.lower() in FOLDERS.values() and folder.name not in FOLDERS.values():
            return f"rename {folder.name} to {folder.name.lower()}"
    for folder in sorted(top.iterdir()):
        if (folder / FOLDERS["query"]).is_dir():
            return f"did you mean {folder}?"
    return f"data.root is the folder that holds {', '.join(FOLDERS.values())}"


class Market1501(MarketStyle):
    """Market-1501: 32,668 boxes of 1,501 people under 6 cameras."""

    name = "market1501"
    where = (
        "get Market-1501 from https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html and "
        "unpack it so that bounding_box_train, query and bounding_box_test lie in data.root; "
        "or draw synthetic people: python -m pmm_jax synthesize DIR"
    )
    published: ClassVar = {
        "train": SplitSize(12936, 751, 6),
        "query": SplitSize(3368, 750, 6),
        "gallery": SplitSize(15913, 751, 6),
    }
    # Identity, camera, sequence, frame, box.
    pattern = re.compile(r"(?P<identity>-1|\d+)_c(?P<camera>\d+)s\d+_\d+_\d+\.")
    example = "0002_c1s1_000451_03.jpg"
