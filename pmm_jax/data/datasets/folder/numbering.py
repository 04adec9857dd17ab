"""Numbers for the names of a set of your own."""

import re

from pmm_jax.data.datasets.folder.listing import Entry
from pmm_jax.data.parsing import int64
from pmm_jax.data.records import SPLITS, UNKNOWN_CAMERA, Problem, Record, Scan

_NUMBERED = re.compile(r"(?P<prefix>\D*)(?P<number>\d+)", re.ASCII)
"""`3`, `c003`, `cam3`."""


def number(entries: list[Entry], problems: list[Problem]) -> Scan:
    """Identities and cameras as numbers."""
    identities = {name: i for i, name in enumerate(sorted({e.identity for e in entries}))}
    cameras = _number_cameras({entry.camera for entry in entries if entry.camera is not None})
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for entry in entries:
        camera = UNKNOWN_CAMERA if entry.camera is None else cameras[entry.camera]
        splits[entry.split].append(Record(entry.path, identities[entry.identity], camera))
    return Scan(
        splits,
        problems,
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
