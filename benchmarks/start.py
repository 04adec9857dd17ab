"""Seconds from a run's command to the end of its first step.

    python -m benchmarks.start --config FILE [--rounds 3] [--group.field VALUE ...] [--json]

Each round starts train.py three times: with nothing there, with the data prepared but nothing
compiled, and with both. The clock stops at the first line of metrics.jsonl, and so does the run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pmm_jax.cli.program import main
from pmm_jax.errors import UserError
from pmm_jax.runtime.children import tied

STARTS = ("nothing there", "data prepared", "data prepared, step compiled")
TRAIN = Path(__file__).parent.parent / "train.py"


def start(words: Sequence[str], folder: Path, cache: Path) -> float:
    """Seconds until train.py, with these words, has logged its first step; then it is stopped.

    Args:
        words: the command line after train.py.
        folder: of the run's workdir, which must be new, and its prepared data.
        cache: of compiled programs.
    """
    workdir = folder / f"run-{time.monotonic_ns()}"
    command = [sys.executable, str(TRAIN), *words, "--workdir", str(workdir)]
    command += ["--data.cache-dir", str(folder / "prepared"), "--train.log-every", "1"]
    metrics, errors = workdir / "metrics.jsonl", folder / "errors.txt"
    started = time.perf_counter()
    with errors.open("w") as written:
        run = subprocess.Popen(
            tied(command),
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
            stdout=subprocess.DEVNULL,
            stderr=written,
        )
        while not (metrics.exists() and metrics.read_bytes().count(b"\n")):
            if run.poll() is not None:
                raise UserError(f"train.py ended too soon: {errors.read_text().strip()}")
            time.sleep(0.02)
    spent = time.perf_counter() - started
    run.kill()
    run.wait()
    return spent


def measure(words: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of every start, by its name in STARTS."""
    turns: dict[str, list[float]] = {name: [] for name in STARTS}
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for what, cache in zip(STARTS, ("one", "other", "other"), strict=True):
                turns[what].append(start(words, folder, folder / cache))
                if sys.stderr.isatty():
                    print(f"\rround {turn + 1}/{rounds}, {what}", end="", file=sys.stderr)
    return turns


def start_command(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Time a run's start.", allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3, help="turns of the three starts")
    parser.add_argument("--json", action="store_true", help="one JSON object, not the table")
    options, words = parser.parse_known_args(arguments)
    turns = measure(words, options.rounds)
    medians = {name: float(np.median(seconds)) for name, seconds in turns.items()}
    if options.json:
        print(json.dumps({"seconds": turns, "median": medians}))
        return
    print(f"{'start':<32}{'seconds':>9}{'of the first':>14}")
    for name, seconds in medians.items():
        print(f"{name:<32}{seconds:>9.1f}{seconds / medians[STARTS[0]]:>14.2f}")


if __name__ == "__main__":
    main(start_command)
