"""From a data set on disk to array_record files with an index, which training reads."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
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
from pmm_jax.data.published import PUBLISHED, WHERE
from pmm_jax.data.records import SPLITS, Problem, Scan
from pmm_jax.data.source import base_folder, scan
from pmm_jax.data.split import prepared_folder
from pmm_jax.data.verify import check_matches, printable, refuse, report_notes, verify
from pmm_jax.errors import UserError
from pmm_jax.files import write_atomic

SYNTHETIC = "synthetic.json"
"""Marks a root that our synthesizer wrote; the published counts say nothing about it."""


def prepare(
    config: DataConfig, report: Callable[[str], None] | None = None, brief: bool = False
) -> Path:
    """Scan, verify and build a data set, unless that was done and its source is unchanged.

    Args:
      config: which data set, where it lies, and where its prepared form goes.
      report: called with each line that tells the user what is found and done.
      brief: of a set that was prepared before, say only that; else what it holds, too.

    Returns:
      The folder that `open_split` reads.

    Raises:
      UserError: the source is missing, empty or damaged, or can't be evaluated.
    """
    say = report or (lambda line: None)
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
        if brief:
            return target
        kept = [Problem(path, reason, fatal=False) for path, reason in index.notes]
        problems = found.problems + kept + check_matches(config, found)
        report_notes(problems, _notes(target), say)
    else:
        with build_lock(target, say):
            # Another process may have built it while this one waited.
            if _find_index(config, target, stamp) is None:
                odd = _check(config, found, _notes(target), say)
                say(f"{config.name}: writing {target}")
                build(config, found, stamp, target, odd)
    for line in _summary(config, found):
        say(line)
    return target


def _find_index(
    config: DataConfig, target: Path, stamp: str, say: Callable[[str], None] | None = None
) -> Index | None:
    """As `find_index`, but None, too, where a file is damaged, which is told."""
    try:
        return find_index(target, stamp)
    except DamagedError as error:
        if say is not None:
            file = printable(str(error.file))
            say(f"{config.name}: {file} is damaged ({error.reason}); building it anew")
        return None


def _check_without_source(config: DataConfig, target: Path) -> None:
    """Refuse what can't be built where it isn't there, or not whole."""
    try:
        if find_index(target) is None:
            raise UserError(
                f"data.root {printable(config.root)} does not exist; {WHERE[config.name]}"
            )
    except DamagedError as error:
        raise UserError(
            f"{printable(str(error.file))} is damaged ({error.reason}), and data.root "
            f"{printable(config.root)}, from which it could be built anew, does not exist; bring "
            "it back"
        ) from error


def _notes(target: Path) -> Path:
    """The list of all that was left out or odd; beside the prepared form, which may not come."""
    return target.with_name(f"{target.name}.notes.txt")


def _check(
    config: DataConfig, found: Scan, notes: Path, say: Callable[[str], None]
) -> list[Problem]:
    """Tell of everything odd in one list, unreadable images too; refuse what can't be used.

    Returns:
        What verifying the images found.
    """
    say(f"{config.name}: verifying {sum(1 for _ in found.records()):,} images")
    verified = verify(config, found)
    problems = found.problems + verified
    unusable = any(problem.fatal for problem in problems)
    problems += [] if unusable else check_matches(config, found)
    lines = (f"{printable(problem.path)}: {problem.reason}\n" for problem in problems)
    try:
        write_atomic(notes, "".join(lines).encode(errors="backslashreplace"))
    except OSError as error:
        raise UserError(cant_write(notes, error)) from error
    report_notes(problems, notes, say)
    refuse(problems, say)
    return verified


def _summary(config: DataConfig, found: Scan) -> Iterator[str]:
    """A small table of what there is beside what was published."""
    synthetic = (base_folder(config) / SYNTHETIC).exists()
    expected = {} if synthetic else PUBLISHED.get(config.name, {})
    yield f"{'split':<8} {'images':>8} {'identities':>10} {'cameras':>8}   published"
    warnings: list[str] = []
    for split in SPLITS:
        records = found.splits[split]
        cameras = Counter(record.camera for record in records)
        known = sum(camera >= 0 for camera in cameras)
        counts = (len(records), len({record.identity for record in records}), known)
        as_published = expected.get(split)
        beside = "-"
        if as_published:
            there = (as_published.images, as_published.identities, as_published.cameras)
            beside = "same" if counts == there else " / ".join(f"{n:,}" for n in there)
            if counts != there:
                warnings.append(split)
        cells = f"{counts[0]:>8,} {counts[1]:>10,} {counts[2] or 'unknown':>8}"
        yield f"{split:<8} {cells}   {beside}"
    if warnings:
        yield (
            f"warning: {', '.join(warnings)} of {config.root} differ from {config.name} as "
            "published; results on a part of a set don't compare with published ones"
        )
