"""From a data set on disk to array_record files with an index, which training reads."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pmm_jax.config import DataConfig
from pmm_jax.data.build import NOTES, build, build_lock, fingerprint_of, is_whole
from pmm_jax.data.published import PUBLISHED, WHERE
from pmm_jax.data.records import SPLITS, Scan
from pmm_jax.data.source import base_folder, scan
from pmm_jax.data.split import prepared_folder
from pmm_jax.data.verify import check_matches, refuse, report_notes, verify
from pmm_jax.errors import UserError

SYNTHETIC = "synthetic.json"
"""Marks a root that our synthesizer wrote; the published counts say nothing about it."""


def prepare(config: DataConfig, report: Callable[[str], None] | None = None) -> Path:
    """Scan, verify and build a data set, unless that was done and its source is unchanged.

    Args:
      config: which data set, where it lies, and where its prepared form goes.
      report: called with each line that tells the user what is found and done.

    Returns:
      The folder that `open_split` reads.

    Raises:
      UserError: the source is missing, empty or damaged, or can't be evaluated.
    """
    say = report or (lambda line: None)
    target = prepared_folder(config)
    root = Path(config.root)
    if not os.path.exists(root):
        if not is_whole(target):
            raise UserError(f"data.root {root} does not exist; {WHERE[config.name]}")
        say(f"{config.name}: {root} is gone; using what was prepared from it in {target}")
        return target
    if root.is_file() and config.name != "folder":
        raise UserError(f"data.root {root} is a file, not a folder; {WHERE[config.name]}")
    found = scan(config)
    fingerprint = fingerprint_of(config, found)
    if is_whole(target, fingerprint):
        say(f"{config.name}: prepared in {target}, source unchanged")
        return target
    with build_lock(target, say):
        # Another process may have built it while this one waited.
        if not is_whole(target, fingerprint):
            report_notes(found.problems, target / NOTES, say)
            refuse(found.problems, say)
            alone = check_matches(config, found)
            report_notes(alone, target / NOTES, say)
            found.problems.extend(alone)
            say(f"{config.name}: verifying {sum(1 for _ in found.records()):,} images")
            refuse(verify(config, found), say)
            say(f"{config.name}: writing {target}")
            build(config, found, fingerprint, target)
    for line in _summary(config, found):
        say(line)
    return target


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
