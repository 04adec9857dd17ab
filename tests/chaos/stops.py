"""Ends that nobody planned: kill -9, signals, a crash between two changes of a file."""

import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.faults import Fault
from tests.chaos.lab import (
    EVALUATED,
    STEPS,
    STEPS_PER_EPOCH,
    Trial,
    lines_of,
    module,
    prepare,
    steps_of,
    train,
)
from tests.chaos.processes import Process

HOOKS = Path(__file__).parent / "hooks"
CHANGES = 200
"""About as many changes of files as Python makes in a run that prepares its set first."""
BY_SIGNAL = {number: (130, 128 + number, -number) for number in (1, 2, 15)}
"""Ours, a shell's, and that of a process which the signal met before it could answer it."""


def _moment(trial: Trial, process: Process, phase: str) -> None:
    """Wait until a run is somewhere in a phase."""
    times, run = trial.lab.times, trial.workdir
    conditions: dict[str, tuple[Callable[[], bool], float]] = {
        "start": (lambda: True, 1.0),
        "prepare": (lambda: True, times["prepared"]),
        "compile": ((run / "config.json").exists, times["train"] - times["compile"]),
        "training": (_logged(run, trial.random.randrange(1, STEPS)), 0.1),
        "saving": (_is_saving(run, trial.random.randrange(STEPS - STEPS_PER_EPOCH)), 0.1),
        "evaluating": (_logged(run, EVALUATED), 0.3),
        "last save": (_logged(run, STEPS + 1), 0.6),
    }
    condition, spread = conditions[phase]
    process.wait_until(condition)
    _let_pass(process, trial.random.uniform(0, spread))


def _let_pass(process: Process, seconds: float) -> None:
    until = time.monotonic() + seconds
    process.wait_until(lambda: time.monotonic() > until)


def _logged(run: Path, lines: int) -> Callable[[], bool]:
    return lambda: lines_of(run) >= lines


def _is_saving(run: Path, after: int) -> Callable[[], bool]:
    """Whether a checkpoint is being written once so many lines are logged."""
    folder = run / "checkpoints"
    return lambda: lines_of(run) >= after and any(folder.glob("*tmp*"))


PHASES = ("prepare", "compile", "training", "saving", "evaluating", "last save")


def kill_in_a_phase(trial: Trial) -> None:
    trial.about = phase = PHASES[trial.number % len(PHASES)]
    if phase == "prepare":
        trial.unprepare()
    with trial.start(train(trial.workdir)) as process:
        _moment(trial, process, phase)
        process.send(signal.SIGKILL)
        outcome = process.end()
    trial.check_end(outcome, [-9, 0], lines=[0])
    trial.finish()


def kill_prepare(trial: Trial) -> None:
    trial.unprepare()
    with trial.start(prepare()) as process:
        _moment(trial, process, "prepare")
        process.send(signal.SIGKILL)
        process.end()
    trial.check_prepare()


def crash_before_a_change(trial: Trial) -> None:
    """Killed just before the Nth time that Python opens to write, renames, makes or removes."""
    trial.unprepare()
    number = _share(trial)
    trial.about = f"change {number}"
    outcome = trial.run(train(trial.workdir), **_hook(trial, "kill", number))
    trial.check_end(outcome, [-9, 0], lines=[0])
    trial.finish()


def error_in_a_change(trial: Trial) -> None:
    """The Nth of those fails, as it does on a full, broken or forbidden disk."""
    trial.unprepare()
    error = trial.case(["ENOSPC", "ENOSPC", "EIO", "EROFS", "EACCES", "EDQUOT"])
    number = _share(trial)
    trial.about = f"{error} in change {number}"
    outcome = trial.run(train(trial.workdir), **_hook(trial, error, number))
    if outcome.code:
        trial.check_refused(outcome)
    else:  # some changes, such as removing an old checkpoint, can be done without
        trial.check_end(outcome, [0], lines=[0, 1])
    trial.finish()


def _share(trial: Trial) -> int:
    """One of the changes that a run makes, those of all trials spread over it."""
    each = CHANGES / trial.times
    return 1 + int(each * (trial.number + trial.random.random()))


def _hook(trial: Trial, action: str, number: int) -> dict[str, str]:
    environment = trial.lab.environment
    return {
        "PYTHONPATH": f"{HOOKS}:{environment['PYTHONPATH']}",
        "CHAOS_ACTION": action,
        "CHAOS_AT": str(number),
        "CHAOS_FOLDER": str(trial.folder),
    }


SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SIGNAL_CASES = list(
    itertools.product(SIGNALS, ("start", "compile", "training", "saving", "evaluating"), (1, 2))
)


def send_a_signal(trial: Trial) -> None:
    number, phase, count = trial.case(SIGNAL_CASES)
    trial.about = f"{number.name} x {count} in {phase}"
    with trial.start(train(trial.workdir)) as process:
        _moment(trial, process, phase)
        process.send(number)
        if count == 2:
            _let_pass(process, trial.random.uniform(0.05, 0.9))
            process.send(number)
        outcome = process.end()
    trial.check_end(outcome, [0, *BY_SIGNAL[number]], lines=[0, 1])
    if outcome.code == 130 and count == 1 and lines_of(trial.workdir):
        logged = [n for n in range(1, STEPS + 1) if _has_step(trial.workdir, n)]
        if steps_of(trial.workdir)[-1:] != logged[-1:]:
            trial.lost.append(f"saved {steps_of(trial.workdir)[-1:]}, logged {logged[-1:]}")
    trial.finish()


def _has_step(workdir: Path, number: int) -> bool:
    text = (workdir / "metrics.jsonl").read_text(encoding="utf-8")
    return f'"step": {number},' in text


def signal_to_prepare(trial: Trial) -> None:
    trial.unprepare()
    number = SIGNALS[trial.number % len(SIGNALS)]
    with trial.start(prepare()) as process:
        _moment(trial, process, "prepare")
        process.send(number)
        outcome = process.end()
    trial.check_end(outcome, [0, *BY_SIGNAL[number]], lines=[0, 1])
    trial.check_prepare()


def end_an_ablation(trial: Trial) -> None:
    """Its child must end with it, and the same command go on."""
    number = (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT)[trial.number % 4]
    trial.about = number.name
    words = ("--config", "tiny.py", "--workdir", str(trial.workdir), "--methods", "pmm")
    command = module("ablate", *words, "--seeds", "0")
    with trial.start(command) as process:
        process.wait_until(lambda: any(trial.workdir.rglob("metrics.jsonl")))
        process.send(number)
        outcome = process.end()
    codes = [-9] if number == signal.SIGKILL else list(BY_SIGNAL[number])
    trial.check_end(outcome, codes, lines=[0, 1])
    again = trial.run(command)
    trial.check_end(again, [0], lines=[0, 1])
    (run,) = {path.parent for path in trial.workdir.rglob("checkpoints")} or {trial.workdir}
    trial.check_state(run)
    trial.check_clean(trial.workdir)


FAULTS = [
    Fault("kill -9 in a phase of training", 20, 2, kill_in_a_phase),
    Fault("kill -9 of prepare", 4, 1, kill_prepare),
    Fault("kill -9 before the Nth change of a file", 8, 1, crash_before_a_change),
    Fault("SIGTERM, SIGHUP, SIGINT to training", 18, 2, send_a_signal),
    Fault("SIGTERM, SIGHUP, SIGINT to prepare", 3, 0, signal_to_prepare),
    Fault("signals and kill -9 to ablate", 4, 0, end_an_ablation),
    Fault("an error in the Nth change of a file", 8, 1, error_in_a_change),
]
