"""Numbers for the names of a set of your own."""

import hashlib
from collections import defaultdict
from pathlib import Path

from pmm_jax.data.folder.entry import Entry
from pmm_jax.data.records import SPLITS, Problem, Record, Scan, fenced


def number(root: Path, entries: list[Entry], problems: list[Problem]) -> Scan:
    """Identities and unknown cameras as numbers, paths kept inside root."""
    identities = {name: i for i, name in enumerate(sorted({e.identity for e in entries}))}
    unknown = _unknown_cameras(root, [entry for entry in entries if entry.camera is None])
    splits: dict[str, list[Record]] = {}
    for split in SPLITS:
        records = [
            Record(
                entry.path,
                identities[entry.identity],
                unknown[entry.path] if entry.camera is None else entry.camera,
            )
            for entry in entries
            if entry.split == split
        ]
        splits[split], escaped = fenced(root, records)
        problems += escaped
    return Scan(splits, problems, {number: name for name, number in identities.items()})


def _unknown_cameras(root: Path, entries: list[Entry]) -> dict[str, int]:
    """A negative camera for each distinct image: -1, -2, ... in sorted order of the paths.

    One image in query and gallery, be it the same file or a copy, keeps one number: the query must
    not find itself.
    """
    alike: dict[tuple[str, int], set[str]] = defaultdict(set)
    for entry in entries:
        file = root / entry.path
        alike[entry.identity, file.stat().st_size if file.is_file() else -1].add(entry.path)
    image: dict[str, str] = {}
    for (_, size), paths in alike.items():
        for path in paths:
            # Only files of one identity and one size can be copies; the others aren't read.
            copies = len(paths) > 1 and size >= 0
            image[path] = hashlib.sha256((root / path).read_bytes()).hexdigest() if copies else path
    numbers: dict[str, int] = {}
    for path in sorted(image):
        numbers.setdefault(image[path], -1 - len(numbers))
    return {path: numbers[image[path]] for path in image}
