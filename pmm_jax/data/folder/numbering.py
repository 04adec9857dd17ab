"""Numbers for the names of a set of your own."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pmm_jax.data.folder.entry import Entry
from pmm_jax.data.parsing import int64
from pmm_jax.data.records import SPLITS, HasPath, Problem, Record, Scan, fenced
from pmm_jax.files import sha256_of

_NUMBERED = re.compile(r"(?P<prefix>\D*)(?P<number>\d+)", re.ASCII)
"""`3`, `c003`, `cam3`."""


def number(root: Path, entries: list[Entry], problems: list[Problem]) -> Scan:
    """Identities and cameras as numbers, paths kept inside root."""
    entries, escaped = fenced(root, entries)
    identities = {name: i for i, name in enumerate(sorted({e.identity for e in entries}))}
    cameras = _number_cameras({entry.camera for entry in entries if entry.camera is not None})
    unknown = unknown_cameras(root, [(e.identity, e) for e in entries if e.camera is None])
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for entry in entries:
        camera = unknown[entry.path] if entry.camera is None else cameras[entry.camera]
        splits[entry.split].append(Record(entry.path, identities[entry.identity], camera))
    return Scan(
        splits,
        problems + escaped,
        {number: name for name, number in identities.items()},
        {number: name for name, number in sorted(cameras.items(), reverse=True)},
    )


def _number_cameras(names: set[str]) -> dict[str, int]:
    """The numbers in the names where they differ in nothing else, else their places when sorted."""
    matches = {name: _NUMBERED.fullmatch(name) for name in names}
    numbers = {name: int64(match["number"]) for name, match in matches.items() if match}
    prefixes = {match["prefix"] for match in matches.values() if match}
    if len(prefixes) == 1 and len(numbers) == len(names) and None not in numbers.values():
        return {name: number for name, number in numbers.items() if number is not None}
    return {name: i for i, name in enumerate(sorted(names))}


def unknown_cameras(root: Path, images: Iterable[tuple[object, HasPath]]) -> dict[str, int]:
    """A negative camera for each distinct image: -1, -2, ... in sorted order of the paths.

    One image in query and gallery, be it the same file or a copy, keeps one number: the query must
    not find itself.

    Args:
      root: folder that the paths are relative to.
      images: identity and path of each.
    """
    alike: dict[tuple[object, int], set[str]] = defaultdict(set)
    for identity, entry in images:
        file = root / entry.path
        alike[identity, file.stat().st_size if os.path.isfile(file) else -1].add(entry.path)
    image: dict[str, str] = {}
    for (_, size), paths in alike.items():
        for path in paths:
            # Only files of one identity and one size can be copies; the others aren't read.
            copies = len(paths) > 1 and size >= 0
            image[path] = _content(root / path) if copies else path
    numbers: dict[str, int] = {}
    for path in sorted(image):
        numbers.setdefault(image[path], -1 - len(numbers))
    return {path: numbers[image[path]] for path in image}


def _content(file: Path) -> str:
    try:
        return sha256_of(file)
    except PermissionError:  # verify will name it, with all others like it
        return str(file)
