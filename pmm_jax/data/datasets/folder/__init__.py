"""Images of your own, in any of these forms.

(a) Splits as folders: train, query and gallery, or train and test (or val), where test is divided
    into query and gallery; also named as Market-1501 (bounding_box_train, ...) and VeRi-776
    (image_train, ...) name them. In each of them images named like `7_c2_x.jpg`, or a folder an
    identity, or folders of cameras and identities, in either order.
(b) The same without splits: identities are divided into train and test by train_fraction.
(c) VIPeR (cam_a, cam_b) and VehicleID (image, train_test_split) as published.
(d) A CSV file with columns path, id, split and, if known, camera; paths are relative to its folder.

Identities and cameras may have any names; they are numbered in sorted order, and the scan keeps the
names.
"""

from dataclasses import replace
from pathlib import Path

from pmm_jax.data.datasets.dataset import Dataset
from pmm_jax.data.datasets.folder.division import divide, query_and_gallery
from pmm_jax.data.datasets.folder.labels import check_names, labeled, refusal
from pmm_jax.data.datasets.folder.listing import Entry, File, folders_in, images_in
from pmm_jax.data.datasets.folder.lists import is_vehicle_id, listed, vehicle_id
from pmm_jax.data.datasets.folder.numbering import number
from pmm_jax.data.datasets.folder.splits import split_folders
from pmm_jax.data.datasets.folder.table import read_table
from pmm_jax.data.datasets.market1501 import JUNK_OUTSIDE_GALLERY
from pmm_jax.data.records import IMAGE_SUFFIXES, Problem, Scan, left_out, summary_of
from pmm_jax.errors import UserError

NO_CAMERA = "has no camera (in its name, ID_c1_..., or its CSV line), so all cameras are ignored"
JUNK_NAME = "-1"


class Folder(Dataset):
    """Images of your own."""

    name = "folder"
    where = (
        "point data.root at a folder of your own images (a folder an identity; or train, query and "
        "gallery with a folder an identity in each; docs/guides/data.md has other forms), or at a "
        "CSV file with columns path, id, camera, split"
    )
    accepts_file = True

    def variant(self) -> tuple[str, ...]:
        """The training fraction, which decides the splits if none is named."""
        return (repr(float(self.config.train_fraction)),)

    def list_images(self) -> Scan:
        """List images as `Dataset.list_images`."""
        source, base = self.root, self.base
        problems: list[Problem] = []
        entries = read_table(source, problems) if base != source else _of_folder(base, problems)
        entries = _without_junk(entries, problems)
        if self.config.cameras == "ignore":  # here already: they decide which images are queries
            entries = [replace(entry, camera=None) for entry in entries]
        entries = _cameras_of_all_or_none(entries, problems)
        entries = _divided(entries, self.config.train_fraction)
        if not entries:
            raise _nothing(source, problems)
        if not any(problem.fatal for problem in problems):
            _check_test(source, entries, problems)
        return number(entries, problems)


def _of_folder(root: Path, problems: list[Problem]) -> list[Entry]:
    """Entries of a folder, with the split that theirs is named after: `test` is to be divided."""
    folders = folders_in(root)
    if is_vehicle_id(folders):
        return vehicle_id(root, problems)
    splits = split_folders(root, folders, problems)
    entries: list[Entry] = []
    for split, folder in splits.items():
        files = listed(root, folder, images_in(root, folder, problems), problems)
        entries += [replace(e, split=split) for e in labeled(root / folder, files, problems)]
    if not splits:
        files = images_in(root, "", problems)
        _check_root(root, files)
        entries = labeled(root, files, problems)
    check_names(root, entries)
    if not splits and len({entry.identity for entry in entries}) == 1:
        what = f"lie in one folder, {entries[0].identity}, as if of one identity"
        fix = "point data.root at the folder that holds a folder an identity"
        raise refusal(f"all images of {root}", what, fix, entries[0].path)
    return entries


def _check_root(root: Path, files: list[File]) -> None:
    """Refuse a root that is one folder too high."""
    tops = {file.folders[0] if file.folders else "" for file in files}
    if len(tops) == 1 and all(len(file.folders) > 1 for file in files):
        (top,) = tops
        raise UserError(f"all images of {root} lie in its folder {top}; did you mean {root / top}?")


def _divided(entries: list[Entry], train_fraction: float) -> list[Entry]:
    """All entries with their split: those without are divided, those of `test`, too."""
    given = [entry for entry in entries if entry.split not in ("", "test")]
    test = [entry for entry in entries if entry.split == "test"]
    free = [entry for entry in entries if not entry.split]
    return given + query_and_gallery(test) + divide(free, train_fraction)


def _nothing(source: Path, problems: list[Problem]) -> UserError:
    """The refusal of a set of which nothing is left, with the reason."""
    if problems:
        return UserError(f"found no images that can be used under {source}: {summary_of(problems)}")
    return UserError(
        f"found no images ({', '.join(IMAGE_SUFFIXES)}) under {source}; data.root is a folder with "
        "a folder an identity, a folder with train, query and gallery, or a CSV file "
        "(docs/guides/data.md)"
    )


def _check_test(source: Path, entries: list[Entry], problems: list[Problem]) -> None:
    present = {entry.split for entry in entries}
    for has, lacks in (("query", "gallery"), ("gallery", "query")):
        if has in present and lacks not in present:
            raise UserError(
                f"{source} has {has} images but no {lacks} images; add some, of the same "
                f"identities{left_out(problems)}"
            )


def _without_junk(entries: list[Entry], problems: list[Problem]) -> list[Entry]:
    """All but identity -1: boxes that are neither a person of the set nor a distractor."""
    junk = [entry for entry in entries if entry.identity == JUNK_NAME]
    problems += [
        Problem(entry.path, JUNK_OUTSIDE_GALLERY, fatal=False)
        for entry in junk
        if entry.split != "gallery"
    ]
    return [entry for entry in entries if entry.identity != JUNK_NAME]


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
