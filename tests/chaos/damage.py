"""Files removed, renamed, cut, emptied, or with a flipped bit."""

import itertools
import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pmm_jax.workdir.sessions import SESSIONS, read_sessions
from tests.chaos.disks import eval_command
from tests.chaos.faults import Fault
from tests.chaos.lab import (
    PROJECT,
    STEPS,
    Skip,
    Trial,
    contents,
    evaluate,
    lines_of,
    module,
    prepare,
    steps_of,
    train,
    unusual,
)

FLIPS = 10
"""Of each kind of file, in `make chaos`."""
DAMAGES = ("removed", "renamed", "cut", "emptied")


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path: Path, rng: random.Random) -> str:
    """Flip one bit in place, as a disk does: neither size nor time of change differ after it."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    position, bit = rng.randrange(len(data)), rng.randrange(8)
    data[position] ^= 1 << bit
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return f"bit {bit} of byte {position} of {path.name[:40]}"


def damage(path: Path, how: str) -> None:
    if how == "removed":
        path.unlink()
    elif how == "renamed":
        path.rename(path.with_name(f"{path.name}-renamed"))
    else:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2 if how == "cut" else 0)


def damaged_file(trial: Trial) -> None:
    """Of a run between two evaluations, which then goes on."""
    source = trial.lab.halfway
    names = [path.relative_to(source).as_posix() for path in files_in(source)]
    name, how = trial.case(list(itertools.product(names, DAMAGES)))
    trial.copy_run(source)
    damage(trial.workdir / name, how)
    trial.about = f"{name[-60:]} {how}"
    if trial.random.random() < 0.4:
        check_evaluation(trial)
    trial.finish()


def check_evaluation(trial: Trial) -> None:
    """eval.py refuses in one line, or its figures are those of a checkpoint that it names."""
    outcome = trial.run(evaluate(trial.workdir))
    latest, earlier = trial.lab.figures
    if outcome.code:
        trial.check_refused(outcome)
    elif outcome.out == latest:
        trial.check_end(outcome, [0], lines=[0, 1])
    elif outcome.out != earlier or not unusual(outcome.err):
        trial.wrong.append(f"other figures, exit 0: {outcome.out[:80]}")


def check_conversion(trial: Trial) -> None:
    """`convert` refuses in one line, or writes the latest weights, or those that it names."""
    target = trial.folder / "weights.safetensors"
    outcome = trial.run(module("convert", trial.workdir, target))
    if outcome.code:
        trial.check_refused(outcome)
        if target.exists():
            trial.wrong.append("refused, and wrote a file all the same")
    elif target.read_bytes() != trial.lab.weights.read_bytes() and not unusual(outcome.err):
        trial.wrong.append("other weights, exit 0, and nothing was said")


def flip_in_checkpoint(trial: Trial, arrays: bool) -> None:
    trial.copy_run(trial.lab.halfway)
    latest = trial.workdir / "checkpoints" / str(steps_of(trial.workdir)[-1])
    files = [*files_in(latest), latest.with_suffix(".json")]
    paths = [path for path in files if (path.parent.name == "d") == arrays]
    sizes = [path.stat().st_size for path in paths]
    # Array data by their size; of metadata each file alike, whatever its size.
    (path,) = trial.random.choices(paths, sizes if arrays else None)
    trial.about = flip(path, trial.random)
    (check_evaluation, check_conversion, Trial.finish)[trial.number % 3](trial)


def flip_in_config(trial: Trial) -> None:
    trial.copy_run(trial.lab.halfway)
    trial.about = flip(trial.workdir / "config.json", trial.random)
    (check_evaluation, check_conversion, Trial.finish)[trial.number % 3](trial)


def flip_in_metrics(trial: Trial) -> None:
    """The file is restored, and what was there is kept beside it."""
    trial.copy_run(trial.lab.halfway)
    path = trial.workdir / "metrics.jsonl"
    trial.about = flip(path, trial.random)
    damaged = path.read_bytes()
    trial.finish()
    if not any(damaged in file.read_bytes() for file in trial.workdir.glob("metrics*")):
        trial.lost.append("the damaged lines were not kept")


def flip_in_sessions(trial: Trial) -> None:
    """The run goes on, and its record says that a line is damaged."""
    trial.copy_run(trial.lab.halfway)
    trial.about = flip(trial.workdir / SESSIONS, trial.random)
    trial.finish()
    record = read_sessions(trial.workdir)
    if not record.damaged:
        trial.wrong.append("a damaged line of sessions.jsonl is taken for what was written")
    if not record.sessions or record.sessions[-1].get("outcome") != "finished":
        trial.lost.append("sessions.jsonl lacks the session that finished the run")


def flip_in_prepared(trial: Trial, pattern: str) -> None:
    """`prepare` repairs it; training and evaluation do, too, or refuse."""
    trial.copy_prepared()
    path = trial.random.choice(sorted(trial.prepared.rglob(pattern)))
    trial.about = flip(path, trial.random)
    if trial.number % 3 == 1:
        trial.copy_run(trial.lab.halfway)
        check_evaluation(trial)
    elif trial.number % 3 == 2:
        outcome = trial.run(train(trial.workdir))
        if not outcome.code:
            trial.check_same(trial.workdir)
            return
        trial.check_refused(outcome)
    trial.check_prepare()


def flip_in_image(trial: Trial) -> None:
    """A changed image may be refused; else the set has another fingerprint, and a run says so."""
    trial.unprepare()
    images = Path(shutil.copytree(trial.lab.root / "set", trial.folder / "set"))
    option = ("--data.root", "set")
    trial.copy_run(trial.lab.halfway)
    trial.about = flip(trial.random.choice(files_in(images)), trial.random)
    outcome = trial.run(train(trial.workdir, *option))
    if outcome.code:
        said = unusual(outcome.err)
        # `prepare` may count images that it can't read before the line that refuses.
        trial.check_end(outcome, [2], lines=[1, 2])
        if not said or "image" not in said[-1]:
            trial.wrong.append(f"refused, but not for the image: {said[-1:]}")
    else:
        trial.wrong.append("a run went on with another image than it began with")


def flip_in_set_of_a_prepared_one(trial: Trial) -> None:
    """What was prepared from sound images stays."""
    images = Path(shutil.copytree(trial.lab.root / "set", trial.folder / "set"))
    trial.unprepare()
    command = prepare("--data.root", "set")
    trial.check_end(trial.run(command), [0], lines=[0])
    before = contents(trial.prepared)
    trial.about = flip(trial.random.choice(files_in(images)), trial.random)
    outcome = trial.run(command)
    if outcome.code:
        trial.check_refused(outcome)
    elif contents(trial.prepared) != before and not unusual(outcome.err):
        trial.wrong.append("prepared anew from a damaged image, and nothing was said")


def flip_in_features(trial: Trial) -> None:
    path = trial.folder / "features.npz"
    rng = np.random.default_rng(0)
    ids = np.arange(60) // 3
    features = rng.normal(size=(20, 16))[ids] + rng.normal(size=(60, 16))
    (np.savez_compressed if trial.number % 2 else np.savez)(
        path, features=features, ids=ids, cameras=np.arange(60) % 3
    )
    right = trial.run(eval_command(path)).out
    trial.about = flip(path, trial.random)
    outcome = trial.run(eval_command(path))
    if outcome.code:
        trial.check_refused(outcome)
    elif outcome.out != right:
        trial.wrong.append(f"other figures, exit 0: {outcome.out[:80]}")


def flip_in_weights(trial: Trial, ending: str) -> None:
    """A file that `convert` wrote is read whole or refused."""
    if ending == ".pth":
        try:
            import torch  # noqa: F401
        except ImportError:
            raise Skip("torch is not installed") from None
    source, target = (trial.folder / f"{name}{ending}" for name in ("source", "target"))
    trial.check_end(trial.run(module("convert", trial.lab.weights, source)), [0], lines=[0])
    again = trial.folder / "right.safetensors"
    trial.check_end(trial.run(module("convert", source, again)), [0], lines=[0])
    trial.about = flip(source, trial.random)
    target = target.with_suffix(".safetensors")
    outcome = trial.run(module("convert", source, target))
    if outcome.code:
        trial.check_refused(outcome)
    elif target.read_bytes() != again.read_bytes():
        trial.wrong.append("other weights, exit 0, and nothing was said")
    trial.check_clean()


def flip_in_golden(trial: Trial) -> None:
    path = trial.folder / "golden.npz"
    shutil.copy(next((PROJECT / "tests" / "golden").glob("*.npz")), path)
    trial.about = flip(path, trial.random)
    outcome = trial.run(module("parity", path))
    if outcome.code == 1:  # a quantity beyond its tolerance
        trial.check_end(outcome, [1], lines=[0])
    elif outcome.code:
        trial.check_refused(outcome)


def flip_in_compiled(trial: Trial) -> None:
    """A bit in every file of jax's cache: such programs are compiled anew."""
    source = Path(trial.lab.environment["JAX_COMPILATION_CACHE_DIR"])
    copy = Path(shutil.copytree(source, trial.folder / "compiled"))
    for path in files_in(copy):
        if path.stat().st_size:
            flip(path, trial.random)
    command = evaluate(trial.lab.halfway)
    outcome = trial.run(command, JAX_COMPILATION_CACHE_DIR=str(copy))
    trial.check_end(outcome, [0], lines=[0, 1])
    if outcome.out != trial.lab.figures[0]:
        trial.wrong.append(f"other figures: {outcome.out[:80]}")


def taken_away(trial: Trial) -> None:
    """The workdir, or its checkpoints, removed or renamed under a running training."""
    name, how = trial.case(list(itertools.product(("", "checkpoints"), ("removed", "renamed"))))
    trial.about = f"{name or 'workdir'} {how}"
    moved = trial.folder / "moved"
    lines = trial.random.randrange(1, STEPS - 3)
    with trial.start(train(trial.workdir)) as process:
        process.wait_until(lambda: lines_of(trial.workdir) >= lines)
        process.send(signal.SIGSTOP)  # a removal must not meet a write half-way
        if how == "removed":
            shutil.rmtree(trial.workdir / name)
        else:
            (trial.workdir / name).rename(moved)
        process.send(signal.SIGCONT)
        outcome = process.end()
    if name and not outcome.code:
        # Checkpoints written later go to a new folder, and the last one is whole.
        trial.check_same(trial.workdir)
        return
    trial.check_refused(outcome)
    if how == "removed":
        trial.finish()
    elif name:
        shutil.rmtree(trial.workdir / name, ignore_errors=True)
        moved.rename(trial.workdir / name)
        trial.finish()
    else:
        trial.finish(moved)


Flipped = tuple[str, Callable[[Trial], None]]
KINDS: Sequence[Flipped] = (
    ("checkpoint arrays", partial(flip_in_checkpoint, arrays=True)),
    ("checkpoint metadata", partial(flip_in_checkpoint, arrays=False)),
    ("config.json", flip_in_config),
    ("metrics.jsonl", flip_in_metrics),
    ("sessions.jsonl", flip_in_sessions),
    ("prepared records", partial(flip_in_prepared, pattern="*.array_record*")),
    ("prepared index.json", partial(flip_in_prepared, pattern="index.json")),
    ("prepared descriptions", partial(flip_in_prepared, pattern="*e*s.json")),
    ("source images", flip_in_image),
    ("source images, prepared before", flip_in_set_of_a_prepared_one),
    ("npz embeddings", flip_in_features),
    (".safetensors weights", partial(flip_in_weights, ending=".safetensors")),
    (".pth weights", partial(flip_in_weights, ending=".pth")),
    ("golden file", flip_in_golden),
    ("compiled programs", flip_in_compiled),
)
RARE = ("source images, prepared before", ".pth weights", "compiled programs")
"""Kinds that `make test-all` leaves to `make chaos`."""
FAULTS = [
    Fault("a file of a run removed, renamed, cut, emptied", 20, 1, damaged_file),
    Fault("workdir removed or renamed under a training", 4, 1, taken_away),
    *(
        Fault(f"bit flip: {name}", FLIPS, 0 if name in RARE else 1, attempt)
        for name, attempt in KINDS
    ),
]
