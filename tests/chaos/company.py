"""Other processes beside a run, closed outputs, numbers that are none."""

import json
import signal
import subprocess
from collections.abc import Callable

import numpy as np

from tests.chaos.faults import Fault
from tests.chaos.lab import (
    Trial,
    arrays_of,
    evaluate,
    lines_of,
    module,
    prepare,
    steps_of,
    strict_json,
    train,
)
from tests.chaos.processes import Outcome


def two_trainings(trial: Trial) -> None:
    """One trains, the other refuses; neither changes what comes out."""
    later = trial.number % 2
    trial.about = "the second later" if later else "both at once"
    trial.unprepare()
    with trial.start(train(trial.workdir)) as one:
        if later:
            one.wait_until(lambda: lines_of(trial.workdir) > 0)
        with trial.start(train(trial.workdir)) as other:
            ends = [other.end(), one.end()]
    refused = [end for end in ends if end.code]
    for end in refused:
        trial.check_refused(end)
        if "another process" not in end.err:
            trial.wrong.append(f"refused for another reason: {end.err.strip()[:100]}")
    if len(refused) != 1:
        trial.wrong.append(f"exits {[end.code for end in ends]}, not one refusal")
    trial.check_same(trial.workdir)
    trial.check_clean(trial.workdir)


def two_preparations(trial: Trial) -> None:
    trial.unprepare()
    with trial.start(prepare()) as one, trial.start(prepare()) as other:
        ends = [one.end(), other.end()]
    for end in ends:
        trial.check_end(end, [0], lines=[0])
    trial.finish()


def another_config(trial: Trial) -> None:
    """A second run with other numbers is refused, during the first one and after it."""
    with trial.start(train(trial.workdir)) as one:
        one.wait_until(lambda: lines_of(trial.workdir) > 0)
        trial.check_refused(trial.run(train(trial.workdir, "--train.seed", "1")))
        trial.check_end(one.end(), [0], lines=[0])
    trial.check_refused(trial.run(train(trial.workdir, "--train.seed", "1")))
    trial.check_same(trial.workdir)
    trial.check_clean(trial.workdir)


EVALUATIONS = 6
"""eval.py's tries beside one training."""


def evaluate_beside(trial: Trial) -> None:
    """A training that writes a checkpoint every epoch; each figure is that of its checkpoint."""
    words = ("--train.epochs", "3000", "--train.evaluate-every", "1")
    known: dict[int, float] = {}
    with trial.start(train(trial.workdir, *words)) as training:
        training.wait_until(lambda: len(steps_of(trial.workdir)) > 0)
        for _ in range(EVALUATIONS):
            which = trial.random.choice(["latest", "latest", "best"])
            outcome = trial.run(evaluate(trial.workdir, "--evaluate.checkpoint", which))
            trial.check_end(outcome, [0], lines=[0, 1])
            if not outcome.code:
                known |= _step_and_map(outcome)
        training.send(signal.SIGTERM)
        trial.check_end(training.end(), [130], lines=[1])
    text = (trial.workdir / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [strict_json(line) for line in text.splitlines()]
    logged = {line["step"]: line["mAP"] for line in lines if "mAP" in line}
    for step, value in known.items():
        if abs(logged[step] - value) > 1e-6:
            trial.wrong.append(f"step {step}: mAP {value}, not {logged[step]}")
    trial.check_clean(trial.workdir)


def _step_and_map(outcome: Outcome) -> dict[int, float]:
    said = [line for line in outcome.err.splitlines() if "checkpoint, step " in line]
    return {int(said[-1].rsplit(" ", 1)[1]): json.loads(outcome.out)["mAP"]}


def _shell(line: str, command: list[str]) -> list[str]:
    return ["sh", "-c", line, "sh", *command]


def _first_line_only(trial: Trial, command: list[str]) -> Outcome:
    """As `| head -1`: its reader goes away after the first line."""
    with trial.start(command, stdout=subprocess.PIPE) as process:
        assert process.popen.stdout is not None
        process.popen.stdout.readline()
        process.popen.stdout.close()
        return process.end()


def _redirected(line: str) -> Callable[[Trial, list[str]], Outcome]:
    return lambda trial, command: trial.run(_shell(line, command))


OUTPUTS: dict[str, Callable[[Trial, list[str]], Outcome]] = {
    "| head -1": _first_line_only,
    "stdout closed": _redirected('exec "$@" >&-'),
    "stderr closed": _redirected('exec "$@" 2>&-'),
    "both closed": _redirected('exec "$@" >&- 2>&-'),
    "> /dev/full": _redirected('exec "$@" >/dev/full'),
}


def training_without_output(trial: Trial) -> None:
    """It trains on, or saves and ends; nothing is lost."""
    trial.about = name = list(OUTPUTS)[trial.number % len(OUTPUTS)]
    outcome = OUTPUTS[name](trial, train(trial.workdir))
    trial.check_end(outcome, [0, 2], lines=[0, 1])
    trial.finish()


def others_without_output(trial: Trial) -> None:
    """eval.py, prepare, --help and a refusal end without a traceback."""
    commands = {
        "eval.py": evaluate(trial.lab.finished),
        "prepare": prepare(),
        "--help": module("--help"),
        "train.py --help": [*train(trial.workdir)[:2], "--help"],
    }
    cases = [(name, output) for name in commands for output in OUTPUTS]
    name, output = cases[trial.number % len(cases)]
    trial.about = f"{name} {output}"
    outcome = OUTPUTS[output](trial, commands[name])
    if output == "> /dev/full":
        # Its result is lost, which it has to say.
        trial.check_refused(outcome)
    else:
        trial.check_end(outcome, [0, 2, -signal.SIGPIPE, 128 + signal.SIGPIPE], lines=[0, 1])
    refusal = OUTPUTS[output](trial, train(trial.workdir, "--no.such-field", "1"))
    trial.check_end(refusal, [2], lines=[0, 1])


NOT_FINITE = (
    ("--optim.peak-lr", "1e30"),
    ("--optim.peak-lr", "1e6"),
    ("--optim.weight-decay", "1e30"),
    ("--optim.optimizer", "adamw", "--optim.weight-decay", "1e7"),
    ("--optim.optimizer", "adamw", "--optim.weight-decay", "3e5", "--train.epochs", "12"),
    ("--optim.eps", "0"),
    ("--optim.peak-lr", "inf"),
    ("--optim.peak-lr", "nan"),
)


def not_finite(trial: Trial) -> None:
    """A run whose numbers overflow keeps a finite checkpoint or none, and valid JSON."""
    options = NOT_FINITE[trial.number % len(NOT_FINITE)]
    trial.about = " ".join(options)
    for _ in range(2):  # a run that failed fails again in the same way
        outcome = trial.run(train(trial.workdir, *options))
        trial.check_end(outcome, [0, 2], lines=[1] if outcome.code else [0])
        _check_finite(trial)
    if steps_of(trial.workdir):
        figures = trial.run(evaluate(trial.workdir))
        trial.check_end(figures, [0], lines=[0])
    trial.check_clean(trial.workdir)


def _check_finite(trial: Trial) -> None:
    metrics = trial.workdir / "metrics.jsonl"
    for line in metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []:
        try:
            strict_json(line)
        except ValueError as error:
            trial.wrong.append(f"metrics.jsonl: {error}")
            break
    steps = steps_of(trial.workdir)
    bad = [step for step in steps if not _is_finite(trial, step)]
    if bad:
        trial.wrong.append(f"weights that are not finite in checkpoints {bad} of {steps}")


def _is_finite(trial: Trial, step: int) -> bool:
    return all(np.isfinite(array).all() for array in arrays_of(trial.workdir, step).values())


FAULTS = [
    Fault("two trainings in one folder", 4, 1, two_trainings),
    Fault("two preparations of one set", 2, 0, two_preparations),
    Fault("another config in one folder", 1, 0, another_config),
    Fault("eval.py beside a training, 6 a trial", 3, 0, evaluate_beside),
    Fault("training without its output", 5, 1, training_without_output),
    Fault("other commands without their output", 20, 1, others_without_output),
    Fault("numbers that are not finite", 8, 1, not_finite),
]
