"""Images a second on 1, 2, 4, ... devices, each with the config's batch, and what crosses them.

    python -m benchmarks.scaling --config FILE [--group.field VALUE ...] [--json]

On a CPU, JAX_NUM_CPU_DEVICES=8 simulates eight devices on the same cores: the transfers are those
of eight accelerators, the speed says nothing about them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from benchmarks.hlo import by_kind, transfers
from benchmarks.program import Program, program
from pmm_jax.cli.parsing import parse_run
from pmm_jax.cli.program import main
from pmm_jax.config import Config


@dataclass(frozen=True)
class Options(Config):
    """What the benchmark takes besides a run's own fields."""

    rounds: int = 10
    """Turns of each number of devices."""
    identities: int = 751
    """Training identities: outputs of the classifiers."""
    json: bool = False
    """Print one JSON object instead of the table."""


def seconds(running: Program) -> tuple[Program, float]:
    """Take one step."""
    started = time.perf_counter()
    state, metrics = running.step(running.state, *running.batch)
    jax.block_until_ready((state, metrics))
    return running._replace(state=state), time.perf_counter() - started


def measure(config: Config, options: Options) -> list[dict[str, Any]]:
    """A row for each number of devices, the rounds interleaved."""
    counts = [n for n in (2**i for i in range(16)) if n <= jax.device_count()]
    running = [program(config, options.identities, n) for n in counts]
    turns: list[list[float]] = [[] for _ in counts]
    for turn in range(options.rounds + 2):
        for i in range(len(counts)):
            running[i], spent = seconds(running[i])
            if turn >= 2:
                turns[i].append(spent)
    batch = config.data.identities_per_batch * config.data.images_per_identity
    speeds = [n * batch / float(np.median(t)) for n, t in zip(counts, turns, strict=True)]
    rows = []
    for n, speed, one in zip(counts, speeds, running, strict=True):
        found = transfers(one.step.as_text())
        rows.append(
            {
                "devices": n,
                "images_per_second": speed,
                "efficiency": speed / (n * speeds[0]),
                "bytes_moved": by_kind(found),
                "largest": max((a.size for t in found for a in t.arrays), default=0),
            }
        )
    return rows


def scaling_command(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    config, options = parse_run(arguments, Options, "Time a step on more and more devices.")
    config = replace(config, model=replace(config.model, weights="scratch"))
    rows = measure(config, options)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'devices':>8}{'images/s':>10}{'efficiency':>12}  moved between devices, MB a step")
    for row in rows:
        moved = ", ".join(f"{kind} {size / 1e6:.2f}" for kind, size in row["bytes_moved"].items())
        print(
            f"{row['devices']:>8}{row['images_per_second']:>10.0f}{row['efficiency']:>12.0%}"
            f"  {moved or 'nothing'}"
        )


if __name__ == "__main__":
    main(scaling_command)
