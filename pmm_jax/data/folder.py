"""Images of your own, in any of four forms.

(a) Market-style: bounding_box_train, query and bounding_box_test with names like `7_c2_x.jpg`.
(b) A CSV file with columns path, id, split and, if known, camera; paths are relative to its folder.
(c) A folder an identity: train/ID, query/ID, gallery/ID; or train/ID and test/ID (or val/ID),
    where test is divided into query and gallery.
(d) Just ID/*.jpg: identities are divided into train and test by train_fraction.

Identities may have any names; they are numbered in sorted order, and the scan keeps the names.
"""

import csv
import hashlib
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pmm_jax.data.layouts import FOLDERS, JUNK_OUTSIDE_GALLERY
from pmm_jax.data.records import (
    IMAGE_SUFFIXES,
    NOT_AN_IMAGE,
    SPLITS,
    Problem,
    Record,
    Scan,
    fenced,
    is_image,
)
from pmm_jax.errors import UserError

MARKET_STYLE = re.compile(r"(?P<identity>-1|[^_]+)_c(?P<camera>\d+)(s\d+)?_")
"""The part of Market-1501's names that matters: identity and camera, as in `7_c2_`, `7_c2s1_`."""

LOOSE = "image outside the identities' folders, skipped"
NO_MATCH = "name is not like ID_c1_anything.jpg, skipped"
LISTED_TWICE = "listed twice in one split, used once"


@dataclass(frozen=True)
class _Entry:
    """One image before identities and cameras are numbered."""

    path: str
    identity: str
    camera: int | None = None
    split: str = ""


def scan(source: Path, train_fraction: float) -> Scan:
    """Scan of a folder or CSV file of your own.

    Args:
      source: the folder, or the CSV file.
      train_fraction: share of the identities used for training where no split is named.

    Raises:
      UserError: no form fits, or the CSV can't be read.
    """
    problems: list[Problem] = []
    root = source.parent if source.is_file() else source
    if source.is_file():
        entries = _table(source, problems)
    else:
        folders = {item.name for item in root.iterdir() if item.is_dir()}
        test = next((name for name in ("test", "val") if name in folders), None)
        if folders & {FOLDERS["train"], FOLDERS["gallery"]}:
            entries = _market_style(root, problems)
        elif "gallery" in folders or "query" in folders:
            entries = [
                replace(entry, split=split)
                for split in SPLITS
                for entry in _identity_folders(root, split, problems)
            ]
        elif "train" in folders and test:
            train = _identity_folders(root, "train", problems)
            held_out = _query_and_gallery(_identity_folders(root, test, problems))
            entries = [replace(entry, split="train") for entry in train] + held_out
        else:
            entries = _divide(_identity_folders(root, "", problems), train_fraction)
    if not entries:
        fatal = [f"{problem.path}: {problem.reason}" for problem in problems if problem.fatal]
        raise UserError(
            fatal[0]
            if fatal
            else f"found no images named like ID/*{IMAGE_SUFFIXES[0]} under {source}; data.root "
            "is a folder with a folder an identity, a Market-style folder, or a CSV file "
            "(docs: pmm_jax/data/folder.py)"
        )
    if not any(problem.fatal for problem in problems):
        _check_test(source, entries)
    return _number(root, entries, problems)


def _check_test(source: Path, entries: list[_Entry]) -> None:
    present = {entry.split for entry in entries}
    for has, lacks in (("query", "gallery"), ("gallery", "query")):
        if has in present and lacks not in present:
            raise UserError(
                f"{source} has {has} images but no {lacks} images; add some, of the same identities"
            )


def _market_style(root: Path, problems: list[Problem]) -> list[_Entry]:
    entries: list[_Entry] = []
    for split, folder in FOLDERS.items():
        for path in _list(root, folder, problems):
            match = MARKET_STYLE.match(posixpath.basename(path))
            if match is None:
                problems.append(Problem(path, NO_MATCH, fatal=False))
            elif match["identity"] != "-1":
                entries.append(_Entry(path, match["identity"], int(match["camera"]), split))
            elif split != "gallery":
                problems.append(Problem(path, JUNK_OUTSIDE_GALLERY, fatal=False))
    return entries


def _list(root: Path, folder: str, problems: list[Problem]) -> list[str]:
    """Sorted paths, relative to root, of the images in a folder that may be missing."""
    if not (root / folder).is_dir():
        return []
    paths: list[str] = []
    for name in sorted(os.listdir(root / folder)):
        path = posixpath.join(folder, name)
        if is_image(name):
            paths.append(path)
        else:
            problems.append(Problem(path, NOT_AN_IMAGE, fatal=False))
    return paths


def _identity_folders(root: Path, folder: str, problems: list[Problem]) -> list[_Entry]:
    """Images of `folder`/ID/; cameras where every name is Market-style, else unknown for all."""
    if not (root / folder).is_dir():
        return []
    entries: list[_Entry] = []
    for name in sorted(os.listdir(root / folder)):
        path = posixpath.join(folder, name)
        if (root / path).is_dir():
            if not name.startswith("."):
                entries += [_Entry(image, name) for image in _list(root, path, problems)]
        else:
            problems.append(Problem(path, LOOSE if is_image(name) else NOT_AN_IMAGE, fatal=False))
    names = [MARKET_STYLE.match(posixpath.basename(entry.path)) for entry in entries]
    if not all(names):
        return entries
    pairs = zip(entries, names, strict=True)
    return [replace(entry, camera=int(match["camera"])) for entry, match in pairs if match]


def _divide(entries: list[_Entry], train_fraction: float) -> list[_Entry]:
    """Identities into train and test, by a hash of their names.

    The hash keeps an identity on its side when others are added, and mixes names whose order means
    something (dates, species).
    """
    identities = sorted(
        {entry.identity for entry in entries},
        key=lambda name: hashlib.sha256(name.encode()).hexdigest(),
    )
    count = round(train_fraction * len(identities))
    if 0 < train_fraction < 1 and len(identities) > 1:
        count = min(max(count, 1), len(identities) - 1)
    chosen = set(identities[:count])
    train = [replace(entry, split="train") for entry in entries if entry.identity in chosen]
    return train + _query_and_gallery(e for e in entries if e.identity not in chosen)


def _query_and_gallery(entries: Iterable[_Entry]) -> list[_Entry]:
    """Each identity's first image in each camera is a query, the rest gallery.

    An image that is its camera's only one stays in the gallery, so that the other cameras' queries
    find it; where that would leave an identity without a query, its first image becomes one. An
    identity's only image goes to the gallery, as a distractor.
    """
    of_identity: dict[str, list[_Entry]] = defaultdict(list)
    for entry in entries:
        of_identity[entry.identity].append(entry)
    divided: list[_Entry] = []
    for images in of_identity.values():
        of_camera: dict[int | None, list[_Entry]] = defaultdict(list)
        for entry in images:
            of_camera[entry.camera].append(entry)
        queries = [group[0] for group in of_camera.values() if len(group) > 1]
        if not queries and len(images) > 1:
            queries = [images[0]]
        for entry in images:
            divided.append(replace(entry, split="query" if entry in queries else "gallery"))
    return divided


def _table(file: Path, problems: list[Problem]) -> list[_Entry]:
    """Entries of a CSV file; its faulty lines become fatal problems."""
    try:
        # Excel's "CSV UTF-8" starts with a byte order mark, which utf-8-sig takes off.
        with open(file, newline="", encoding="utf-8-sig") as stream:
            lines = csv.DictReader(stream)
            header = [(name or "").strip().lower() for name in lines.fieldnames or []]
            lines.fieldnames = header
            rows = [(lines.line_num, row) for row in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is no UTF-8 CSV file ({error}); save it as one") from error
    lacking = [name for name in ("path", "id", "split") if name not in header]
    if lacking:
        raise UserError(
            f"{file} has no column {lacking[0]} in its first line ({','.join(header)}); "
            "columns are path,id,camera,split, camera optional"
        )
    cameras = _number_cameras((row.get("camera") or "").strip() for _, row in rows)
    entries: dict[tuple[str, str], _Entry] = {}
    owner: dict[str, str] = {}
    for number, row in rows:
        path, identity, split = ((row[name] or "").strip() for name in ("path", "id", "split"))
        where = f"{file.name}:{number}"
        if not path or not identity:
            problems.append(Problem(where, "line lacks its path or id; fill it in", fatal=True))
            continue
        if split.lower() not in SPLITS:
            reason = f"split {split!r} is none of {', '.join(SPLITS)}"
            problems.append(Problem(where, reason, fatal=True))
            continue
        path = posixpath.normpath(os.path.relpath(path, file.parent) if path[0] == "/" else path)
        key = (path, split.lower())
        if owner.setdefault(path, identity) != identity:
            reason = f"{path} is listed as identity {owner[path]} and as {identity}; keep one"
            problems.append(Problem(where, reason, fatal=True))
        elif key in entries:
            problems.append(Problem(path, LISTED_TWICE, fatal=False))
        else:
            camera = cameras[(row.get("camera") or "").strip()]
            entries[key] = _Entry(path, identity, camera, split.lower())
    return list(entries.values())


def _number_cameras(values: Iterable[str]) -> dict[str, int | None]:
    """Numbers stay as they are; where a camera has a name, all are numbered in sorted order."""
    distinct = sorted(set(values) - {""})
    numeric = all(value.isdecimal() for value in distinct)
    numbered: dict[str, int | None] = {"": None}
    for index, value in enumerate(distinct):
        numbered[value] = int(value) if numeric else index
    return numbered


def _number(root: Path, entries: list[_Entry], problems: list[Problem]) -> Scan:
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


def _unknown_cameras(root: Path, entries: list[_Entry]) -> dict[str, int]:
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
