"""Disks that are full, read-only, or take no file beyond a size."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.chaos.faults import Fault
from tests.chaos.lab import PROJECT, Skip, Trial, evaluate, prepare, train

PAGE = 4096
ROOM = "64m"
RUN_BYTES = 12 << 20
"""About what a run has on the disk while it writes its third checkpoint."""
LIMITED = """\
import os, resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
os.execv(sys.argv[2], sys.argv[2:])
"""


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"mounting isn't allowed: {done.stderr.strip()[:80]}")


@contextlib.contextmanager
def disk(folder: Path, options: str) -> Iterator[None]:
    """A disk of its own at a folder, which is made; gone again at the end, whatever happens."""
    if not shutil.which("mount") or os.geteuid():
        raise Skip("mounting a disk needs root")
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield
    finally:
        if subprocess.run(["umount", str(folder)], capture_output=True).returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    _mount("-o", f"remount,{options}", str(folder))


def _share(trial: Trial, low: int, high: int) -> int:
    """This trial's part of a range, the parts growing with the number."""
    position = (trial.number + trial.random.random()) / trial.times
    return int(low * (high / low) ** position)


def full_workdir(trial: Trial) -> None:
    size = _share(trial, PAGE, RUN_BYTES) // PAGE * PAGE
    trial.about = f"{size >> 10} KiB"
    with disk(trial.workdir, f"size={size}"):
        _run_out(trial)


def no_more_files(trial: Trial) -> None:
    """A disk with room, but without a free inode."""
    count = _share(trial, 2, 120)
    trial.about = f"{count} inodes"
    with disk(trial.workdir, f"size={ROOM},nr_inodes={count}"):
        _run_out(trial)


def _run_out(trial: Trial) -> None:
    outcome = trial.run(train(trial.workdir))
    if outcome.code:
        trial.check_refused(outcome)
        if str(trial.workdir) not in outcome.err:
            trial.wrong.append(f"the line doesn't name the disk: {outcome.err.strip()[:200]}")
    else:
        trial.check_end(outcome, [0], lines=[0, 1])
    trial.check_clean(trial.workdir)
    remount(trial.workdir, f"size={ROOM},nr_inodes=10000")
    trial.finish()


def full_prepared(trial: Trial) -> None:
    trial.unprepare()
    size = _share(trial, PAGE, 600 << 10) // PAGE * PAGE
    trial.about = f"{size >> 10} KiB"
    with disk(trial.prepared, f"size={size}"):
        outcome = trial.run(prepare())
        if outcome.code:
            trial.check_refused(outcome)
        trial.check_clean()
        remount(trial.prepared, f"size={ROOM}")
        trial.check_prepare()


def _features(path: Path, queries: int = 3000) -> Path:
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(queries // 3), 3)
    features = rng.normal(size=(ids.max() + 1, 16))[ids] + rng.normal(size=(len(ids), 16))
    np.savez(path, features=features, ids=ids, cameras=np.arange(len(ids)) % 3)
    return path


def eval_command(file: Path, *options: str | Path) -> list[str]:
    """eval.py --embeddings."""
    words = ("--embeddings", str(file), "--json", *map(str, options))
    return [sys.executable, str(PROJECT / "eval.py"), *words]


def full_per_query(trial: Trial) -> None:
    """The file of an earlier run stays as it was."""
    features, room = _features(trial.folder / "features.npz"), trial.folder / "disk"
    whole = trial.folder / "whole.csv"
    trial.check_end(trial.run(eval_command(features, "--per-query", whole)), [0], lines=[0])
    size = _share(trial, PAGE, max(whole.stat().st_size, 2 * PAGE)) // PAGE * PAGE
    trial.about = f"{size >> 10} KiB"
    with disk(room, f"size={size + PAGE}"):
        target = room / "queries.csv"
        target.write_text("before\n", encoding="utf-8")
        outcome = trial.run(eval_command(features, "--per-query", target))
        if outcome.code:
            trial.check_refused(outcome)
            if target.read_text(encoding="utf-8") != "before\n":
                trial.lost.append("the file that was there before")
        if len(os.listdir(room)) > 1:
            trial.wrong.append(f"left {os.listdir(room)}")
        remount(room, f"size={ROOM}")
        trial.check_end(trial.run(eval_command(features, "--per-query", target)), [0], lines=[0])
        if target.read_bytes() != whole.read_bytes():
            trial.wrong.append("another file of the queries")


def file_size_limit(trial: Trial) -> None:
    """As a quota does: a write fails in the middle of a file."""
    trial.unprepare()
    size = _share(trial, 256, 1 << 20)
    trial.about = f"{size} bytes"
    outcome = trial.run([sys.executable, "-c", LIMITED, str(size), *train(trial.workdir)])
    if outcome.code:
        trial.check_refused(outcome)
    else:
        trial.check_end(outcome, [0], lines=[0, 1])
    trial.check_clean(trial.workdir)
    trial.finish()


READ_ONLY = ("train in it", "train from it", "prepare into it", "evaluate in it", "queries into it")


def read_only(trial: Trial) -> None:
    """What has to write refuses; what only reads works."""
    trial.about = what = READ_ONLY[trial.number % len(READ_ONLY)]
    there = trial.folder / "disk"
    run, prepared = there / "run", there / "prepared"
    option = ("--data.cache-dir", str(prepared))
    with disk(there, f"size={ROOM}"):
        shutil.copytree(trial.lab.halfway, run)
        if what != "prepare into it":
            shutil.copytree(trial.lab.prepared, prepared)
        remount(there, "ro")
        if what == "train in it":
            trial.check_refused(trial.run(train(run, *option)))
            remount(there, "rw")
            trial.finish(run)
        elif what == "train from it":
            trial.finish(None, *option)
        elif what == "prepare into it":
            trial.check_refused(trial.run(prepare(*option)))
        elif what == "queries into it":
            command = evaluate(trial.lab.halfway, "--per-query", str(there / "queries.csv"))
            trial.check_refused(trial.run(command))
        else:
            _check_figures(trial, evaluate(run, *option))


def _check_figures(trial: Trial, command: Sequence[str]) -> None:
    outcome = trial.run(command)
    trial.check_end(outcome, [0], lines=[0])
    if outcome.out != trial.lab.figures[0]:
        trial.wrong.append(f"other figures: {outcome.out[:100]}")


FAULTS = [
    Fault("full disk under the workdir", 12, 1, full_workdir),
    Fault("no inode left under the workdir", 4, 0, no_more_files),
    Fault("full disk under the prepared data", 8, 1, full_prepared),
    Fault("full disk under --per-query", 5, 1, full_per_query),
    Fault("limit of a file's size (quota)", 6, 0, file_size_limit),
    Fault("read-only disk", 5, 1, read_only),
]
