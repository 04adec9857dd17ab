"""From a data set on disk to array_record files with an index, which training reads."""

import os
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from pathlib import Path

from pmm_jax.config import DataConfig
from pmm_jax.data.build import (
    build,
    build_lock,
    cant_write,
    find_index,
    remove_leftovers,
    stamp_of,
)
from pmm_jax.data.index import DamagedError, Index
from pmm_jax.data.parsing import shortened
from pmm_jax.data.published import PUBLISHED, WHERE, Published
from pmm_jax.data.records import EXAMPLES, SPLITS, Problem, Record, Scan
from pmm_jax.data.source import base_folder, scan
from pmm_jax.data.split import prepared_folder
from pmm_jax.data.verify import (
    check_matches,
    duplicates,
    refuse,
    report_notes,
    shared_identities,
    unmatched,
    verify,
)
from pmm_jax.errors import UserError
from pmm_jax.files import printable, write_atomic

SYNTHETIC = "synthetic.json"
"""Marks a root that our synthesizer wrote; the published counts say nothing about it."""


def prepare(
    config: DataConfig,
    report: Callable[[str], None] | None = None,
    brief: bool = False,
    same_camera_rule: bool = True,
) -> Path:
    """Scan, verify and build a data set, unless that was done and its source is unchanged.

    Args:
      config: which data set, where it lies, and where its prepared form goes.
      report: called with each line that tells the user what is found and done.
      brief: of a set that was prepared before, say only that, and what warnings there are; else
        what it holds, too.
      same_camera_rule: whether the evaluation asked for leaves out matches in a query's own camera.

    Returns:
      The folder that `open_split` reads.

    Raises:
      UserError: the source is missing, empty or damaged, or can't be evaluated.
    """

    def say(line: str) -> None:
        if report:
            report(printable(line))

    target = prepared_folder(config)
    root = Path(config.root)
    if not os.path.exists(root):
        _check_without_source(config, target)
        say(f"{config.name}: {root} is gone; using what was prepared from it in {target}")
        return target
    if root.is_file() and config.name != "folder":
        raise UserError(f"data.root {root} is a file, not a folder; {WHERE[config.name]}")
    found = scan(config)
    stamp = stamp_of(config, found)
    remove_leftovers(target, say)
    index = _find_index(config, target, stamp, say)
    if index is not None:
        say(f"{config.name}: prepared in {target}, source unchanged")
        check_matches(config, found, same_camera_rule)
        if not brief:
            kept = [Problem(path, reason, False, *rest) for path, reason, *rest in index.notes]
            odd = found.problems + kept + unmatched(found, same_camera_rule)
            report_notes(odd, _notes(target), say)
    else:
        with build_lock(target, say):
            # Another process may have built it while this one waited.
            if _find_index(config, target, stamp) is None:
                odd = _check(config, found, same_camera_rule, _notes(target), say)
                say(f"{config.name}: writing {target}")
                build(config, found, stamp, target, odd)
                brief = False
    counts = {split: _counts(found.splits[split]) for split in SPLITS}
    if not brief:
        for line in _summary(config, counts):
            say(line)
    for line in _warnings(config, found, counts):
        say(f"warning: {line}")
    return target


def _find_index(
    config: DataConfig, target: Path, stamp: str, say: Callable[[str], None] | None = None
) -> Index | None:
    """As `find_index`, but None, too, where a file is damaged, which is told."""
    try:
        return find_index(target, stamp)
    except DamagedError as error:
        if say is not None:
            say(f"{config.name}: {error.file} is damaged ({error.reason}); building it anew")
        return None


def _check_without_source(config: DataConfig, target: Path) -> None:
    """Refuse what can't be built where it isn't there, or not whole."""
    try:
        if find_index(target) is None:
            raise UserError(f"data.root {config.root} does not exist; {WHERE[config.name]}")
    except DamagedError as error:
        raise UserError(
            f"{error.file} is damaged ({error.reason}), and data.root {config.root}, from which it "
            "could be built anew, does not exist; bring it back"
        ) from error


def _notes(target: Path) -> Path:
    """The list of all that was left out or odd; beside the prepared form, which may not come."""
    return target.with_name(f"{target.name}.notes.txt")


def _check(
    config: DataConfig,
    found: Scan,
    same_camera_rule: bool,
    notes: Path,
    say: Callable[[str], None],
) -> list[Problem]:
    """Tell of everything odd in one list, unreadable images too; refuse what can't be used.

    Returns:
        What reading the images found.
    """
    say(f"{config.name}: verifying {sum(1 for _ in found.records()):,} images")
    verified, digests = verify(config, found)
    # Nobody can be asked to mend a set as published.
    fatal = not config.allow_duplicates and not _as_published(config, found)
    verified += duplicates(found, digests, fatal)
    problems = found.problems + verified
    unusable = any(problem.fatal for problem in problems)
    problems += [] if unusable else unmatched(found, same_camera_rule)
    lines = (f"{printable(str(problem))}\n" for problem in problems)
    try:
        write_atomic(notes, "".join(lines).encode())
    except OSError as error:
        raise UserError(cant_write(notes, error)) from error
    report_notes(problems, notes, say)
    refuse(problems, notes, say)
    check_matches(config, found, same_camera_rule)
    return verified


def _published(config: DataConfig) -> dict[str, Published]:
    """What each split should hold; nothing where that isn't known."""
    if (base_folder(config) / SYNTHETIC).exists():
        return {}
    published = PUBLISHED.get(config.name, {})
    if config.cameras == "ignore":
        return {split: replace(there, cameras=0) for split, there in published.items()}
    return published


def _counts(records: list[Record]) -> Published:
    cameras = {record.camera for record in records}
    known = sum(camera >= 0 for camera in cameras)
    return Published(len(records), len({record.identity for record in records}), known)


def _as_published(config: DataConfig, found: Scan) -> bool:
    return {split: _counts(found.splits[split]) for split in SPLITS} == _published(config)


def _summary(config: DataConfig, counts: dict[str, Published]) -> Iterator[str]:
    """A small table of what there is beside what was published."""
    published = _published(config)
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
            f"warning: {', '.join(differ)} of {config.root} differ from {config.name} as "
            "published; results on a part of a set don't compare with published ones"
        )


def _warnings(config: DataConfig, found: Scan, counts: dict[str, Published]) -> Iterator[str]:
    """What makes figures mean less than they seem to."""
    shared = shared_identities(config, found)
    if shared:
        names = ", ".join(shortened(name) for name in shared[:EXAMPLES])
        yield (
            f"{len(shared):,} identities are in train and in query or gallery, too ({names}"
            f"{', ...' if len(shared) > EXAMPLES else ''}); figures tell how well known "
            "individuals are found, not new ones"
        )
    if counts["gallery"].identities == 1:
        yield "the gallery holds one identity only, so every figure will be 100 %"
