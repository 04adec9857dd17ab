"""A tiny data set, its undisturbed run, and what every disturbed run is compared with."""

import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image

from tests.chaos.processes import Outcome, Process

PROJECT = Path(__file__).parents[2]
STEPS_PER_EPOCH, EPOCHS = 3, 4
STEPS = STEPS_PER_EPOCH * EPOCHS
EVALUATED = 6
"""Step of the first evaluation; the last step has the second."""
TINY = f"""\
from pmm_jax.config import *
config = Config(
    data=DataConfig(name="folder", root={{root!r}}, cache_dir="prepared", image_size=(64, 32),
                    identities_per_batch=2, images_per_identity=2, erase_size=8),
    model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16, weights="scratch"),
    method=MethodConfig(top_k=1, block=(2, 2)),
    optim=OptimConfig(schedule="cosine", warmup_epochs=1),
    train=TrainConfig(epochs={EPOCHS}, evaluate_every=2, checkpoint_every=1, log_every=1),
    evaluate=EvaluateConfig(batch_size=8),
)
"""
PARTIAL = (".partial", ".tmp", ".old", "orbax-checkpoint-tmp")
TRIES = 3
"""How often the same command may be needed to finish a disturbed run; more counts as lost."""
_restoring = threading.Lock()


class Skip(Exception):
    """A fault that this machine can't be made to have, and why."""


class Lab:
    """The folder of all trials."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.seed = root, seed
        # A shell's background job ignores Ctrl-C, and so would all that it starts.
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        (root / "home").mkdir()
        (root / "tiny.py").write_text(TINY.format(root=str(root / "set")), encoding="utf-8")
        draw_set(root / "set")
        compiled = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(root / "compiled")
        self.environment = {
            **os.environ,
            "HOME": str(root / "home"),
            "PYTHONPATH": str(PROJECT),
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": compiled,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        self.times: dict[str, float] = {}
        """Seconds from the start of the undisturbed run to the ends of its first phases."""
        # Once to compile, and once to see how long a run takes that doesn't.
        for name in ("first", "reference"):
            self._undisturbed(root / name)
        self.prepared, self.finished = root / "prepared", root / "reference"
        self.state = state_of(self.finished)
        self.metrics = (self.finished / "metrics.jsonl").read_bytes()
        self.halfway = self._stop_halfway()
        """A run stopped between its evaluations, with a latest checkpoint and an earlier best."""
        self.figures = [
            self.run(evaluate(self.halfway, "--evaluate.checkpoint", which)).out
            for which in ("latest", "best")
        ]
        """What eval.py says of its checkpoints: the latest, and the earlier one."""
        self.weights = root / "weights.safetensors"
        """The latest weights of `halfway`."""
        self.run(module("convert", self.halfway, self.weights))

    def _undisturbed(self, workdir: Path) -> None:
        shutil.rmtree(self.root / "prepared", ignore_errors=True)
        with Process(train(workdir), self.root, self.environment) as process:
            phases = {
                "prepared": lambda: any(self.root.glob("prepared/*/index.json")),
                "compile": (workdir / "config.json").exists,
                "train": lambda: lines_of(workdir) > 0,
            }
            for name, reached in phases.items():
                process.wait_until(reached)
                self.times[name] = time.monotonic() - process.began
            outcome = process.end()
        if outcome.code:
            raise RuntimeError(f"the undisturbed run failed:\n{outcome.out}{outcome.err}")

    def _stop_halfway(self) -> Path:
        workdir = self.root / "halfway"
        with Process(train(workdir), self.root, self.environment) as process:
            process.wait_until(lambda: lines_of(workdir) > EVALUATED + 1)
            process.send(signal.SIGTERM)
            outcome = process.end()
        steps = steps_of(workdir)
        if len(steps) < 2 or not EVALUATED < steps[-1] < STEPS:
            raise RuntimeError(f"stopped with checkpoints {steps}:\n{outcome.out}{outcome.err}")
        return workdir

    def run(self, command: Sequence[str]) -> Outcome:
        """An undisturbed command, which must succeed."""
        with Process(command, self.root, self.environment) as process:
            outcome = process.end()
        if outcome.code:
            raise RuntimeError(f"{' '.join(command)} failed:\n{outcome.out}{outcome.err}")
        return outcome


class Trial:
    """One try of a fault, in a folder of its own; collects what went wrong."""

    def __init__(self, lab: Lab, fault: str, number: int, times: int) -> None:
        self.lab, self.number, self.times = lab, number, times
        self.random = random.Random(f"{lab.seed} {fault} {number}")
        self.sequence = random.Random(f"{lab.seed} {fault}")
        """The same in all trials of a fault, which share out its cases with it."""
        self.about = ""
        """Which of the fault's cases this is, for the list of what went wrong."""
        self.lost: list[str] = []
        self.wrong: list[str] = []
        name = "".join(c if c.isalnum() else "-" for c in fault)
        self.folder = lab.root / "trials" / f"{name}-{number}"
        self.folder.mkdir(parents=True)
        shutil.copy(lab.root / "tiny.py", self.folder)
        self.workdir, self.prepared = self.folder / "run", self.folder / "prepared"
        # That of the lab, which no trial changes; those that do take a copy first.
        self.prepared.symlink_to(lab.prepared)

    def unprepare(self) -> None:
        """Begin without a prepared set."""
        self.prepared.unlink()

    def copy_prepared(self) -> None:
        """Have a prepared set for this trial alone."""
        self.prepared.unlink()
        shutil.copytree(self.lab.prepared, self.prepared)

    def copy_run(self, source: Path) -> None:
        """Have a run of the lab's as this trial's."""
        shutil.copytree(source, self.workdir)

    def case(self, cases: Sequence[Any]) -> Any:
        """This trial's case, where all trials of a fault share them out in a random order."""
        order = list(cases)
        self.sequence.shuffle(order)
        return order[self.number % len(order)]

    def start(
        self,
        command: Sequence[str],
        stdout: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        return Process(
            command, self.folder, {**self.lab.environment, **(environment or {})}, stdout
        )

    def run(self, command: Sequence[str], **environment: str) -> Outcome:
        with self.start(command, environment=environment) as process:
            return process.end()

    def check_end(
        self, outcome: Outcome, codes: Sequence[int], lines: Sequence[int] = (1,)
    ) -> None:
        """A failure is one of these exit codes and so many lines on standard error."""
        said = unusual(outcome.err)
        tail = " / ".join(said[-2:])[:300]
        if outcome.hung:
            self.wrong.append("hung")
        if outcome.left:
            self.wrong.append(f"{outcome.left} processes left")
        if "Traceback" in outcome.err + outcome.out:
            self.wrong.append(f"traceback of {len(said)} lines, exit {outcome.code}: {tail}")
        elif len(said) not in lines:
            self.wrong.append(f"{len(said)} lines, exit {outcome.code}: {tail}")
        if outcome.code not in codes and not outcome.hung:
            self.wrong.append(f"exit {outcome.code}, not one of {sorted(codes)}: {tail}")

    def check_refused(self, outcome: Outcome) -> None:
        self.check_end(outcome, [2])

    def check_prepare(self) -> None:
        """`prepare` ends well, with what an undisturbed one makes."""
        self.check_end(self.run(prepare()), [0], lines=[0, 1])
        if contents(self.prepared) != contents(self.lab.prepared):
            self.lost.append("another prepared form than an undisturbed one")
        self.check_clean()

    def finish(self, workdir: Path | None = None, *options: str) -> None:
        """The same command until it ends well; the run must then be the undisturbed one."""
        workdir = workdir or self.workdir
        for _ in range(TRIES):
            outcome = self.run(train(workdir, *options))
            if not outcome.code:
                break
            self.check_refused(outcome)
            self.lost.append(f"the same command doesn't go on: {outcome.err.strip()[-200:]}")
        else:
            return
        self.check_end(outcome, [0], lines=(0, 1))
        self.check_same(workdir)
        self.check_clean(workdir)

    def check_same(self, workdir: Path) -> None:
        """The run is the undisturbed one, bit for bit."""
        self.check_state(workdir)
        metrics = workdir / "metrics.jsonl"
        if not metrics.is_file():
            self.lost.append("no metrics.jsonl")
        elif metrics.read_bytes() != self.lab.metrics:
            self.lost.append(f"metrics.jsonl has other lines ({lines_of(workdir)} of them)")

    def check_state(self, workdir: Path) -> None:
        """The last checkpoint is that of the undisturbed run, optimizer and all."""
        try:
            state = state_of(workdir)
        except Exception as error:  # whatever orbax trips over, there is no checkpoint
            self.lost.append(f"no last checkpoint that orbax reads: {str(error)[:200]}")
            return
        if state != self.lab.state:
            self.lost.append("other weights than those of the undisturbed run")

    def check_clean(self, *folders: Path) -> None:
        """Nothing partial is left, and no lock is held."""
        for folder in (*folders, self.folder / "prepared"):
            paths = [path for path in folder.rglob("*") if path.exists()]
            partial = [path.name for path in paths if any(end in path.name for end in PARTIAL)]
            if partial:
                self.wrong.append(f"left in {folder.name}: {', '.join(partial[:3])}")
            for path in paths:
                if path.name.endswith("lock") and path.is_file() and is_locked(path):
                    self.wrong.append(f"{path.name} is still locked")


def train(workdir: Path, *options: str) -> list[str]:
    config = ("--config", "tiny.py", "--workdir", str(workdir), "--no-report")
    return [sys.executable, str(PROJECT / "train.py"), *config, *options]


def evaluate(workdir: Path, *options: str) -> list[str]:
    program = str(PROJECT / "eval.py")
    return [sys.executable, program, "--workdir", str(workdir), "--json", *options]


def module(*words: str | Path) -> list[str]:
    """python -m pmm_jax VERB ..."""
    return [sys.executable, "-m", "pmm_jax", *map(str, words)]


def prepare(*options: str) -> list[str]:
    return module("prepare", "--config", "tiny.py", *options)


USUAL = (
    "folder: ",
    "latest checkpoint",
    "best checkpoint",
    "embedding ",
    # The table of a set that was prepared again.
    *("split ", "train ", "query ", "gallery "),
    # orbax's word on a disk that is slower than the training, as it is beside other trials.
    "WARNING:absl:Waiting for previous save",
)


def unusual(err: str) -> list[str]:
    """Lines of standard error besides those that eval.py --json reports its progress in."""
    return [line for line in err.splitlines() if line.strip() and not line.startswith(USUAL)]


def draw_set(root: Path) -> None:
    """Twelve identities of four noisy images, each identity of a color."""
    for identity in range(12):
        color = np.random.default_rng(identity).integers(40, 215, 3)
        for shot in range(4):
            path = root / f"id{identity:02d}" / f"{shot}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([identity, shot]).normal(0, 60, (64, 32, 3))
            Image.fromarray(np.clip(color + noise, 0, 255).astype(np.uint8)).save(path)


def lines_of(workdir: Path) -> int:
    """Whole lines of metrics.jsonl."""
    try:
        return (workdir / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def steps_of(workdir: Path) -> list[int]:
    """Steps of the checkpoints that are there, in order."""
    folder = workdir / "checkpoints"
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def state_of(workdir: Path) -> dict[str, str]:
    """Hash of every array of the last checkpoint, and its step."""
    steps = steps_of(workdir)
    if not steps:
        raise FileNotFoundError(f"{workdir} has no checkpoint")
    arrays = arrays_of(workdir, steps[-1])
    hashes = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    return hashes | {"step": str(steps[-1])}


def arrays_of(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint, read without our own code."""
    folder = workdir / "checkpoints" / str(step)
    handler = ocp.PyTreeCheckpointHandler()
    with _restoring:
        tree = handler.metadata(folder).tree
        arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        restored = handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=arguments))
        handler.close()
    leaves = jax.tree_util.tree_leaves_with_path(restored)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def contents(prepared: Path) -> dict[str, Any]:
    """Labels and records of a prepared set; its files also hold random marks of their own."""
    (path,) = prepared.glob("*/index.json")
    index = json.loads(path.read_text(encoding="utf-8"))
    found = {name: index[name] for name in ("fingerprint", "names", "splits")}
    for path in prepared.rglob("*.array_record*"):
        reader = ArrayRecordReader(str(path))
        # The fields of a record come in a random order.
        found[path.name] = [sorted(record) for record in reader.read_all()]
        reader.close()
    return found


def is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def strict_json(text: str) -> Any:
    """JSON without the NaN and Infinity that Python's reader lets pass."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)
