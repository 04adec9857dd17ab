"""Prepare a data set: array_record files with an index, which training reads."""

import os
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path

from pmm_jax.config import DataConfig
from pmm_jax.data.build import (
    build_lock,
    cant_write,
    find_index,
    remove_leftovers,
    stamp_of,
    write_prepared,
)
from pmm_jax.data.datasets import Dataset, SplitSize, get_dataset
from pmm_jax.data.index import DamagedError, Index
from pmm_jax.data.parsing import shortened
from pmm_jax.data.records import EXAMPLES, SPLITS, Problem, Record, Scan
from pmm_jax.data.source_images import SourceImages
from pmm_jax.data.split import prepared_folder
from pmm_jax.data.unknown_cameras import number_unknown_cameras
from pmm_jax.data.verify import (
    check_matches,
    duplicates,
    refuse,
    report_notes,
    shared_identities,
    unmatched,
)
from pmm_jax.errors import UserError
from pmm_jax.files import printable, write_atomic

SYNTHETIC = "synthetic.json"
"""Marks a root that our synthesizer wrote, to which the published sizes don't apply."""


def prepare(
    config: DataConfig,
    report: Callable[[str], None] | None = None,
    brief: bool = False,
    same_camera_rule: bool = True,
) -> Path:
    """Scan, verify and build a data set, unless that was done and its source is unchanged.

    Args:
      config: which data set, where it lies, and where its prepared form goes.
      report: called with each line about what is found and done.
      brief: report of a set that was prepared before only that, and any warnings; else also
        what it holds.
      same_camera_rule: whether the evaluation asked for leaves out matches in a query's own camera.

    Returns:
      The folder that `open_split` reads.

    Raises:
      UserError: the source is missing, empty or damaged, or can't be evaluated.
    """

    def info(line: str) -> None:
        if report:
            report(printable(line))

    dataset, target = get_dataset(config), prepared_folder(config)
    if not os.path.exists(dataset.root):
        _check_without_source(dataset, target)
        info(f"{dataset.name}: {dataset.root} is gone; using what was prepared from it in {target}")
        return target
    if dataset.root.is_file() and not dataset.accepts_file:
        raise UserError(f"data.root {dataset.root} is a file, not a folder; {dataset.where}")
    found = dataset.scan()
    stamp = stamp_of(dataset, found)
    remove_leftovers(target, info)
    index = _find_index(dataset, target, stamp, info)
    if index is not None:
        info(f"{dataset.name}: prepared in {target}, source unchanged")
        found = _as_prepared(found, index)
        check_matches(dataset, found, same_camera_rule)
        if not brief:
            kept = [Problem(path, reason, False, *rest) for path, reason, *rest in index.notes]
            unusual = found.problems + kept + unmatched(found, same_camera_rule)
            report_notes(unusual, _notes(target), info)
    else:
        with build_lock(target, info):
            # Another process may have built it while this one waited.
            if _find_index(dataset, target, stamp) is None:
                total = sum(1 for _ in found.records())
                info(f"{dataset.name}: preparing {total:,} images in {target}")
                found = number_unknown_cameras(dataset.base, found)
                images = SourceImages(dataset, found)
                check = partial(_check, images, same_camera_rule, _notes(target), info)
                if any(problem.fatal for problem in found.problems):
                    images.read_all()  # for the list of all that is wrong; nothing gets written
                    check()
                write_prepared(images, stamp, target, check)
                brief = False
    counts = {split: _counts(found.splits[split]) for split in SPLITS}
    if not brief:
        for line in _summary(dataset, counts):
            info(line)
    for line in _warnings(dataset, found, counts):
        info(f"warning: {line}")
    return target


def _find_index(
    dataset: Dataset, target: Path, stamp: str, info: Callable[[str], None] | None = None
) -> Index | None:
    """Find the index as `find_index` does; None, with a report, if a file is damaged."""
    try:
        return find_index(target, stamp)
    except DamagedError as error:
        if info is not None:
            info(f"{dataset.name}: {error.file} is damaged ({error.reason}); building it anew")
        return None


def _check_without_source(dataset: Dataset, target: Path) -> None:
    """Refuse what can't be built where it isn't there, or not whole."""
    try:
        if find_index(target) is None:
            raise UserError(f"data.root {dataset.root} does not exist; {dataset.where}")
    except DamagedError as error:
        raise UserError(
            f"{error.file} is damaged ({error.reason}), and data.root {dataset.root}, from which "
            "it could be built anew, does not exist; bring it back"
        ) from error


def _as_prepared(found: Scan, index: Index) -> Scan:
    """The scan with the cameras of the index, in which the unknown ones have their numbers."""
    splits = {
        split: [
            replace(record, camera=camera)
            for record, camera in zip(records, index.splits[split].cameras, strict=True)
        ]
        for split, records in found.splits.items()
    }
    return replace(found, splits=splits)


def _notes(target: Path) -> Path:
    """Path of the list of notes: beside the prepared form, which may not come into being."""
    return target.with_name(f"{target.name}.notes.txt")


def _check(
    images: SourceImages, same_camera_rule: bool, notes: Path, info: Callable[[str], None]
) -> list[Problem]:
    """Report all problems in one list, those of images too; refuse what can't be used.

    Returns:
        What reading the images found.
    """
    dataset, found = images.dataset, images.found
    # Users can't repair a set as published.
    fatal = not dataset.config.allow_duplicates and not _is_as_published(dataset, found)
    of_images = images.problems + duplicates(images, fatal)
    problems = found.problems + of_images
    unusable = any(problem.fatal for problem in problems)
    problems += [] if unusable else unmatched(found, same_camera_rule)
    lines = (f"{printable(str(problem))}\n" for problem in problems)
    try:
        write_atomic(notes, "".join(lines).encode())
    except OSError as error:
        raise UserError(cant_write(notes, error)) from error
    report_notes(problems, notes, info)
    refuse(problems, notes, info)
    check_matches(dataset, found, same_camera_rule)
    return of_images


def _published(dataset: Dataset) -> dict[str, SplitSize]:
    """Published size of each split; empty where that isn't known."""
    if (dataset.base / SYNTHETIC).exists():
        return {}
    if dataset.config.cameras == "ignore":
        return {split: replace(there, cameras=0) for split, there in dataset.published.items()}
    return dict(dataset.published)


def _counts(records: list[Record]) -> SplitSize:
    cameras = {record.camera for record in records}
    known = sum(camera >= 0 for camera in cameras)
    return SplitSize(len(records), len({record.identity for record in records}), known)


def _is_as_published(dataset: Dataset, found: Scan) -> bool:
    return {split: _counts(found.splits[split]) for split in SPLITS} == _published(dataset)


def _summary(dataset: Dataset, counts: dict[str, SplitSize]) -> Iterator[str]:
    """A small table of what there is beside what was published."""
    published = _published(dataset)
    yield f"{'split':<8} {'images':>8} {'identities':>10} {'cameras':>8}   published"
    for split, there in counts.items():
        beside = "-"
        if split in published:
            numbers = (f"{n:,}" if n else "unknown" for n in astuple(published[split]))
            beside = "same" if there == published[split] else " / ".join(numbers)
        cells = f"{there.images:>8,} {there.identities:>10,} {there.cameras or 'unknown':>8}"
        yield f"{split:<8} {cells}   {beside}"
    differ = [split for split in SPLITS if published and counts[split] != published[split]]
    if differ:
        yield (
            f"warning: {', '.join(differ)} of {dataset.root} differ from {dataset.name} as "
            "published; results on a part of a set don't compare with published ones"
        )


def _warnings(dataset: Dataset, found: Scan, counts: dict[str, SplitSize]) -> Iterator[str]:
    """Warnings of what makes the metrics mean less than they seem to."""
    shared = shared_identities(dataset, found)
    if shared:
        names = ", ".join(shortened(name) for name in shared[:EXAMPLES])
        yield (
            f"{len(shared):,} identities are in train and in query or gallery, too ({names}"
            f"{', ...' if len(shared) > EXAMPLES else ''}); figures tell how well known "
            "individuals are found, not new ones"
        )
    if counts["gallery"].identities == 1:
        yield "the gallery holds one identity only, so every figure will be 100 %"
