"""How the published data sets are laid out on disk: their folders, lists and file names.

Market-1501 (Zheng et al., ICCV 2015), DukeMTMC-reID (Ristani et al., ECCVW 2016; Zheng et al.,
ICCV 2017) and MSMT17 (Wei et al., CVPR 2018).
"""

import os
import posixpath
import re
from pathlib import Path

from pmm_jax.data.parsing import int64, read_utf8
from pmm_jax.data.records import (
    SPLITS,
    Problem,
    Record,
    Scan,
    fenced,
    is_image,
    not_read,
    summary_of,
)
from pmm_jax.errors import UserError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
"""Market-1501's folder of each split, which most later sets copied."""

MARKET1501 = re.compile(r"(?P<identity>-1|\d+)_c(?P<camera>\d+)s\d+_\d+_\d+\.")
"""`0002_c1s1_000451_03.jpg`: identity, camera, sequence, frame, box."""
DUKEMTMC = re.compile(r"(?P<identity>-1|\d+)_c(?P<camera>\d+)_f?\d+\.")
"""`0005_c2_f0046985.jpg`: identity, camera, frame."""
_LOOSE = re.compile(r"[^_]+_c\d+(s\d+)?_")
"""What the names of most sets have in common."""
MSMT17 = re.compile(r"\d+_\d+_(?P<camera>\d+)_")
"""`0000_000_01_0303morning_0008_0.jpg`: identity, image, camera, then time of day, frame and box,
and after them `_ex` in some names."""

JUNK = -1
"""Identity of boxes that are neither a person of the set nor a distractor."""

DOUBLE_SUFFIX = "name ends in .jpg.jpg, used as it is"
JUNK_OUTSIDE_GALLERY = "identity -1 outside the gallery, skipped"
TOO_LONG = "identity or camera is beyond 64 bits"
TOO_LONG_HINT = "shorten it, or use data.name folder, where identities and cameras are any words"
BAD_LINE = "line is not `path label`, with a path like 0000/0000_000_01_0303morning_0008_0.jpg"


def market1501(root: Path) -> Scan:
    """Scan of Market-1501; identity -1 is dropped, identity 0 stays in the gallery."""
    return market_style(root, MARKET1501, "0002_c1s1_000451_03.jpg")


def dukemtmc(root: Path) -> Scan:
    """Scan of DukeMTMC-reID."""
    return market_style(root, DUKEMTMC, "0005_c2_f0046985.jpg")


def market_style(root: Path, pattern: re.Pattern[str], example: str, inside: str = "") -> Scan:
    """Scan of bounding_box_train, query and bounding_box_test.

    Args:
      root: folder that the records' paths are relative to.
      pattern: matches a name from its start up to the first dot, with groups identity and camera.
      example: a name as it should be, for messages.
      inside: folder under root that holds the three folders; empty for root itself.

    Raises:
      UserError: a folder is missing, or holds no image that matches.
    """
    top = root / inside
    missing = [name for name in FOLDERS.values() if not (top / name).is_dir()]
    if missing:
        raise UserError(
            f"found no images named like {example} under {top}: there is no folder {missing[0]}; "
            + _did_you_mean(top)
        )
    splits: dict[str, list[Record]] = {}
    problems: list[Problem] = []
    for split, folder in FOLDERS.items():
        records: list[Record] = []
        noted = len(problems)
        for name in sorted(os.listdir(top / folder)):
            path = posixpath.join(inside, folder, name)
            match = pattern.match(name)
            if not is_image(name):
                problems.append(not_read(path))
                continue
            if match is None:
                reason = f"name is not like {example}, skipped"
                problems.append(Problem(path, reason, fatal=False))
                continue
            identity, camera = int64(match["identity"]), int64(match["camera"])
            if identity is None or camera is None:
                problems.append(Problem(path, TOO_LONG, fatal=True, hint=TOO_LONG_HINT))
            elif identity == JUNK:
                if split != "gallery":
                    problems.append(Problem(path, JUNK_OUTSIDE_GALLERY, fatal=False))
            else:
                if name.lower().endswith(".jpg.jpg"):
                    problems.append(Problem(path, DOUBLE_SUFFIX, fatal=False))
                records.append(Record(path, identity, camera))
        splits[split], escaped = fenced(root, records)
        problems += escaped
        if not records:
            raise _no_records(top / folder, example, problems[noted:])
    return Scan(splits, problems)


def _no_records(folder: Path, example: str, problems: list[Problem]) -> UserError:
    message = f"found no images named like {example} under {folder}"
    if not problems:
        return UserError(f"{message}, which is empty; put the data set's images there")
    loose = any(_LOOSE.match(problem.path.rpartition("/")[2]) for problem in problems)
    loose = loose and not problems[0].hint
    hint = "; data.name folder reads names like 0002_c1_anything.jpg" if loose else ""
    return UserError(f"{message}: {summary_of(problems)}{hint}")


def _did_you_mean(top: Path) -> str:
    """The mend where a folder is missing; often the root is one folder too high."""
    for folder in sorted(top.iterdir()):
        if folder.name.lower() in FOLDERS.values() and folder.name not in FOLDERS.values():
            return f"rename {folder.name} to {folder.name.lower()}"
    for folder in sorted(top.iterdir()):
        if (folder / FOLDERS["query"]).is_dir():
            return f"did you mean {folder}?"
    return f"data.root is the folder that holds {', '.join(FOLDERS.values())}"


def msmt17(root: Path) -> Scan:
    """Scan of MSMT17 by its list files, version 1 (train, test) or 2 (mask_train_v2, mask_test_v2).

    Train is list_train.txt and list_val.txt together: the 32,621 images of the published protocol.
    Train and test number their people independently, so identity 0 of train is not that of test.
    """
    train, test = _msmt17_folders(root)
    lists = {
        "train": ((train, "list_train.txt"), (train, "list_val.txt")),
        "query": ((test, "list_query.txt"),),
        "gallery": ((test, "list_gallery.txt"),),
    }
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    problems: list[Problem] = []
    for split, files in lists.items():
        for folder, name in files:
            records, odd = _msmt17_list(root, folder, name)
            splits[split] += records
            problems += odd
        if not splits[split]:
            why = f": {summary_of(problems)}" if problems else ""
            raise UserError(
                f"found no lines like {_MSMT17_LINE!r} in {root / files[0][1]}{why}; "
                "copy MSMT17's list files there"
            )
        splits[split], escaped = fenced(root, splits[split])
        problems += escaped
    return Scan(splits, problems)


_MSMT17_LINE = "0000/0000_000_01_0303morning_0008_0.jpg 0"


def _msmt17_folders(root: Path) -> tuple[str, str]:
    for train, test in (("train", "test"), ("mask_train_v2", "mask_test_v2")):
        if (root / train).is_dir() and (root / test).is_dir():
            return train, test
    raise UserError(
        f"found neither train and test nor mask_train_v2 and mask_test_v2 under {root}; "
        "data.root is the folder that holds list_train.txt"
    )


def _msmt17_list(root: Path, folder: str, name: str) -> tuple[list[Record], list[Problem]]:
    file = root / name
    if not file.is_file():
        raise UserError(f"found no {name} under {root}; MSMT17 comes with its four list files")
    records: list[Record] = []
    problems: list[Problem] = []
    for number, line in enumerate(read_utf8(file).splitlines(), start=1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        match = MSMT17.match(path.rpartition("/")[2])
        if match is None or not label.isdecimal():
            problems.append(Problem(f"{name}:{number}", BAD_LINE + ", skipped", fatal=False))
            continue
        identity, camera = int64(label), int64(match["camera"])
        if identity is None or camera is None:
            where = f"{name}:{number}"
            problems.append(Problem(where, TOO_LONG, fatal=True, hint=TOO_LONG_HINT))
        else:
            records.append(Record(f"{folder}/{path.strip()}", identity, camera))
    return records, problems
