"""Images of your own, in any of four forms.

(a) Market-style: bounding_box_train, query and bounding_box_test with names like `7_c2_x.jpg`.
(b) A CSV file with columns path, id, split and, if known, camera; paths are relative to its folder.
(c) A folder an identity: train/ID, query/ID, gallery/ID; or train/ID and test/ID (or val/ID),
    where test is divided into query and gallery.
(d) Just ID/*.jpg: identities are divided into train and test by train_fraction.

Identities may have any names; they are numbered in sorted order, and the scan keeps the names.
"""

import os
import posixpath
import re
from dataclasses import replace
from pathlib import Path

from pmm_jax.data.folder.division import divide, query_and_gallery
from pmm_jax.data.folder.entry import Entry
from pmm_jax.data.folder.numbering import number
from pmm_jax.data.folder.table import read_table
from pmm_jax.data.layouts import FOLDERS, JUNK_OUTSIDE_GALLERY
from pmm_jax.data.records import (
    IMAGE_SUFFIXES,
    NOT_AN_IMAGE,
    SPLITS,
    Problem,
    Scan,
    is_image,
)
from pmm_jax.errors import UserError

MARKET_STYLE = re.compile(r"(?P<identity>-1|[^_]+)_c(?P<camera>\d+)(s\d+)?_")
"""The part of Market-1501's names that matters: identity and camera, as in `7_c2_`, `7_c2s1_`."""

LOOSE = "image outside the identities' folders, skipped"
NO_MATCH = "name is not like ID_c1_anything.jpg, skipped"
NO_CAMERA = "has no camera (in its name, ID_c1_..., or its CSV line), so all cameras are ignored"
JUNK_NAME = "-1"


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
        entries = _cameras_of_all_or_none(read_table(source, problems), problems)
    else:
        folders = {item.name for item in root.iterdir() if item.is_dir()}
        test = next((name for name in ("test", "val") if name in folders), None)
        if folders & {FOLDERS["train"], FOLDERS["gallery"]}:
            entries = _market_style(root, problems)
        elif "gallery" in folders or "query" in folders:
            entries = _with_cameras(
                [
                    replace(entry, split=split)
                    for split in SPLITS
                    for entry in _identity_folders(root, split, problems)
                ],
                problems,
            )
        elif "train" in folders and test:
            both = _identity_folders(root, "train", problems)
            both = [replace(entry, split="train") for entry in both]
            both = _without_junk(both + _identity_folders(root, test, problems), problems)
            both = _with_cameras(both, problems)
            entries = [entry for entry in both if entry.split]
            entries += query_and_gallery(entry for entry in both if not entry.split)
        else:
            every = _without_junk(_identity_folders(root, "", problems), problems)
            entries = divide(_with_cameras(every, problems), train_fraction)
    entries = _without_junk(entries, problems)
    if not entries:
        fatal = [f"{problem.path}: {problem.reason}" for problem in problems if problem.fatal]
        raise UserError(
            fatal[0]
            if fatal
            else f"found no images named like ID/*{IMAGE_SUFFIXES[0]} under {source}; data.root "
            "is a folder with a folder an identity, a Market-style folder, or a CSV file "
            "(docs/data.md)"
        )
    if not any(problem.fatal for problem in problems):
        _check_test(source, entries)
    return number(root, entries, problems)


def _check_test(source: Path, entries: list[Entry]) -> None:
    present = {entry.split for entry in entries}
    for has, lacks in (("query", "gallery"), ("gallery", "query")):
        if has in present and lacks not in present:
            raise UserError(
                f"{source} has {has} images but no {lacks} images; add some, of the same identities"
            )


def _market_style(root: Path, problems: list[Problem]) -> list[Entry]:
    entries: list[Entry] = []
    for split, folder in FOLDERS.items():
        for path in _list(root, folder, problems):
            match = MARKET_STYLE.match(posixpath.basename(path))
            if match is None:
                problems.append(Problem(path, NO_MATCH, fatal=False))
            else:
                entries.append(Entry(path, match["identity"], int(match["camera"]), split))
    return entries


def _without_junk(entries: list[Entry], problems: list[Problem]) -> list[Entry]:
    """All but identity -1: boxes that are neither a person of the set nor a distractor."""
    junk = [entry for entry in entries if entry.identity == JUNK_NAME]
    problems += [
        Problem(entry.path, JUNK_OUTSIDE_GALLERY, fatal=False)
        for entry in junk
        if entry.split != "gallery"
    ]
    return [entry for entry in entries if entry.identity != JUNK_NAME]


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


def _identity_folders(root: Path, folder: str, problems: list[Problem]) -> list[Entry]:
    """Images of `folder`/ID/, without cameras."""
    if not (root / folder).is_dir():
        return []
    entries: list[Entry] = []
    for name in sorted(os.listdir(root / folder)):
        path = posixpath.join(folder, name)
        if (root / path).is_dir():
            if not name.startswith("."):
                entries += [Entry(image, name) for image in _list(root, path, problems)]
        else:
            problems.append(Problem(path, LOOSE if is_image(name) else NOT_AN_IMAGE, fatal=False))
    return entries


def _with_cameras(entries: list[Entry], problems: list[Problem]) -> list[Entry]:
    """Cameras from Market-style names, `ID_c1_...`."""
    named = []
    for entry in entries:
        match = MARKET_STYLE.match(posixpath.basename(entry.path))
        named.append(replace(entry, camera=int(match["camera"])) if match else entry)
    return _cameras_of_all_or_none(named, problems)


def _cameras_of_all_or_none(entries: list[Entry], problems: list[Problem]) -> list[Entry]:
    """The cameras where every image of query and gallery has one, else unknown for all.

    Known of some images only, they would let a query find its own camera's images, and itself.
    """
    ranked = [entry for entry in entries if entry.split != "train"]
    without = [entry for entry in ranked if entry.camera is None]
    if not without or len(without) == len(ranked):
        return entries
    problems += [Problem(entry.path, NO_CAMERA, fatal=False) for entry in without]
    return [replace(entry, camera=None) for entry in entries]
