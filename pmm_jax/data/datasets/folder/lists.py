"""Sets that come with lists: VehicleID, and VeRi-776's lists of names.

VehicleID (Liu et al., CVPR 2016) and VeRi-776 (Liu et al., ECCV 2016).
"""

import hashlib
import posixpath
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from pmm_jax.data.datasets.folder.listing import Entry, File
from pmm_jax.data.parsing import read_utf8
from pmm_jax.data.records import Problem
from pmm_jax.errors import UserError

LISTS = "train_test_split"
"""VehicleID's folder of lists, beside its images."""
IMAGES = "image"
_TRAIN = "train_list.txt"
_TEST = re.compile(r"test_list_(?P<vehicles>\d{1,9})\.txt", re.ASCII)
_LINE = re.compile(r"(?P<image>[^\s/\\]+)\s+(?P<vehicle>\S+)")

OTHER_TEST = "list of another test, not read"

_VERI = {
    "image_train": "name_train.txt",
    "image_query": "name_query.txt",
    "image_test": "name_test.txt",
}


def is_vehicle_id(folders: list[str]) -> bool:
    """Whether these folders are VehicleID's."""
    return {LISTS, IMAGES} <= set(folders)


def vehicle_id(root: Path, problems: list[Problem]) -> list[Entry]:
    """Entries of VehicleID by its lists, `train_list.txt` and the test list of fewest vehicles.

    As published, the gallery has one image of each vehicle, and all its others are queries; which
    one it is, which the authors sample at random, follows here from a hash of the image's name.

    Raises:
      UserError: a list is missing, or holds no line like `0211318 26`.
    """
    tests = {
        int(match["vehicles"]): file.name
        for file in (root / LISTS).iterdir()
        if (match := _TEST.fullmatch(file.name))
    }
    if not tests or not (root / LISTS / _TRAIN).is_file():
        raise UserError(
            f"{root} is laid out like VehicleID, but {LISTS} lacks "
            f"{'test_list_800.txt' if not tests else _TRAIN}; VehicleID comes with both"
        )
    test = tests.pop(min(tests))
    problems += [Problem(f"{LISTS}/{name}", OTHER_TEST, fatal=False) for name in tests.values()]
    entries = [replace(e, split="train") for e in _vehicles(root, _TRAIN, problems)]
    of_vehicle: dict[str, list[Entry]] = defaultdict(list)
    for entry in _vehicles(root, test, problems):
        of_vehicle[entry.identity].append(entry)
    for images in of_vehicle.values():
        shown = min(images, key=lambda e: hashlib.sha256(e.path.encode()).digest())
        entries += [replace(e, split="gallery" if e is shown else "query") for e in images]
    return entries


def _vehicles(root: Path, name: str, problems: list[Problem]) -> list[Entry]:
    entries: list[Entry] = []
    for number, line in enumerate(read_utf8(root / LISTS / name).splitlines(), start=1):
        match = _LINE.fullmatch(line.strip())
        if match:
            image = match["image"] if "." in match["image"] else f"{match['image']}.jpg"
            entries.append(Entry(posixpath.join(IMAGES, image), match["vehicle"]))
        elif line.strip():
            reason = "line is not `image vehicle`, like 0211318 26, skipped"
            problems.append(Problem(f"{LISTS}/{name}:{number}", reason, fatal=False))
    if not entries:
        raise UserError(f"found no lines like `0211318 26` in {root / LISTS / name}; restore it")
    return entries


def listed(root: Path, folder: str, files: list[File], problems: list[Problem]) -> list[File]:
    """Files of VeRi-776 that the folder's list of names has; all where there is no list.

    Names that have no file are kept, so that they are found missing.
    """
    name = _VERI.get(folder.lower(), "")
    if not name or not (root / name).is_file():
        return files
    named = dict.fromkeys(line.strip() for line in read_utf8(root / name).splitlines())
    named.pop("", None)
    paths = {posixpath.join(folder, image): None for image in named}
    reason = f"not in {name}, skipped"
    problems += [
        Problem(file.path, reason, fatal=False) for file in files if file.path not in paths
    ]
    return [File(path, ()) for path in paths]
