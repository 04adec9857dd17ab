"""Numbers for cameras that aren't known, so that a query leaves out itself and nothing else."""

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from pmm_jax.data.records import UNKNOWN_CAMERA, Record, Scan
from pmm_jax.files import sha256_of


def number_unknown_cameras(base: Path, found: Scan) -> Scan:
    """The scan with a negative camera for each distinct image: -1, -2, ... by path.

    One image in query and gallery, be it the same file or a copy, keeps one number: the query must
    not find itself. Only files of one identity and one size can be copies; they are read for it.

    Args:
        base: folder that the paths are relative to.
        found: a scan, in which such images have `UNKNOWN_CAMERA`.
    """
    alike: dict[tuple[int, int], set[str]] = defaultdict(set)
    for record in found.records():
        if record.camera == UNKNOWN_CAMERA:
            file = base / record.path
            size = file.stat().st_size if os.path.isfile(file) else -1
            alike[record.identity, size].add(record.path)
    image: dict[str, str] = {}
    for (_, size), paths in alike.items():
        may_be_copies = len(paths) > 1 and size >= 0
        for path in paths:
            image[path] = _content(base / path) if may_be_copies else path
    numbers: dict[str, int] = {}
    for path in sorted(image):
        numbers.setdefault(image[path], -1 - len(numbers))

    def numbered(record: Record) -> Record:
        if record.camera != UNKNOWN_CAMERA:
            return record
        return replace(record, camera=numbers[image[record.path]])

    return replace(
        found, splits={split: list(map(numbered, some)) for split, some in found.splits.items()}
    )


def _content(file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError:  # reported when the images are checked, with all others like it
        return str(file)
