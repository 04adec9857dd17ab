"""Seconds and peak memory of a training step: ours, PyTorch as released, PyTorch through the heads.

    python -m benchmarks.step [--config FILE --group.field VALUE ...] [--json]

Without --config it is the paper's network on 384x128 with 16 images of 4 identities, of 751, in
float32. Programs take turns, a step each, in processes of their own; the table has medians, and the
ratio of each to PyTorch as released. PyTorch (requirements-torch.txt) is needed for its rows alone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.roofline import matmul_rate, stated_peak
from benchmarks.step_worker import OURS, TORCH, StepWorker
from pmm_jax.cli.parsing import parse_run
from pmm_jax.cli.program import main
from pmm_jax.config import Config


@dataclass(frozen=True)
class Options(Config):
    """What the benchmark takes besides a run's own fields."""

    rounds: int = 10
    """Timed steps of each program."""
    warm_up: int = 5
    """Steps of each before; PyTorch keeps getting faster until then."""
    identities: int = 751
    """Training identities: outputs of the classifiers."""
    json: bool = False
    """Print one JSON object instead of the table."""


def measure(config: Config, options: Options) -> dict[str, Any]:
    """Time all steps on one config.

    Returns:
        `peers`: for each its `seconds` (median), `fastest`, `peak_memory_bytes`, `ratio` to
        PyTorch as released where that ran, and for ours FLOP a step and the fraction of the peak;
        `config`, `machine`.
    """
    names = list(OURS) if config.method.name == "pmm" else [OURS[0]]
    why_not = _no_torch(config)
    if why_not:
        print(f"{why_not}: PyTorch's rows are left out", file=sys.stderr)
    else:
        names += TORCH
    workers = [StepWorker(name, config, options.identities) for name in names]
    for turn in range(options.warm_up + options.rounds):
        if sys.stderr.isatty():
            print(f"\rround {turn + 1}/{options.warm_up + options.rounds}", end="", file=sys.stderr)
        for worker in workers:
            worker.step(counted=turn >= options.warm_up)
    rows = {
        worker.name: {
            "seconds": float(np.median(worker.seconds)),
            "fastest": min(worker.seconds),
            "all_seconds": worker.seconds,
            "peak_memory_bytes": worker.close(),
            **worker.facts,
        }
        for worker in workers
    }
    reached = matmul_rate()
    stated = stated_peak(rows[OURS[0]]["device"], config.model.compute_dtype)
    for row in rows.values():
        if TORCH[0] in rows:
            row["ratio"] = row["seconds"] / rows[TORCH[0]]["seconds"]
        if row.get("flop"):
            row["flop_per_second"] = row["flop"] / row["seconds"]
            row["share_of_measured_peak"] = row["flop_per_second"] / reached
            row["mfu"] = row["flop_per_second"] / stated if stated else None
    return {
        "peers": rows,
        "batch": config.data.identities_per_batch * config.data.images_per_identity,
        "image_size": list(config.data.image_size),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "matmul_flop_per_second": reached,
        },
    }


def _no_torch(config: Config) -> str | None:
    """Why PyTorch's steps would not compare; they are PMM in float32, on the CPU."""
    if not importlib.util.find_spec("torch"):
        return "torch is not installed"
    if config.method.name != "pmm" or config.model.compute_dtype != "float32":
        return "the PyTorch steps are PMM in float32"
    import jax

    return None if jax.default_backend() == "cpu" else "the PyTorch steps run on the CPU"


def table(result: dict[str, Any]) -> str:
    """The results as lines of text."""
    height, width = result["image_size"]
    lines = [
        f"{result['batch']} images of {height}x{width}",
        f"{'step':<26}{'seconds':>9}{'fastest':>9}{'ratio':>7}{'peak GB':>9}{'GFLOP/s':>9}"
        f"{'of peak':>9}",
    ]
    for name, row in result["peers"].items():
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
        rate = of_peak = "-"
        if "flop_per_second" in row:
            rate = f"{row['flop_per_second'] / 1e9:.0f}"
            of_peak = f"{row['mfu'] or row['share_of_measured_peak']:.0%}"
        lines.append(
            f"{name:<26}{row['seconds']:>9.3f}{row['fastest']:>9.3f}{ratio:>7}"
            f"{row['peak_memory_bytes'] / 1e9:>9.2f}{rate:>9}{of_peak:>9}"
        )
    return "\n".join(lines)


def step_command(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    words = list(arguments)
    if not any(word.split("=")[0] in ("--config", "--help", "-h") for word in words):
        words = ["--config", "configs/market1501.py", "--data.identities-per-batch", "4", *words]
    config, options = parse_run(words, Options, "Time a training step against PyTorch's.")
    config = replace(config, model=replace(config.model, weights="scratch"))
    result = measure(config, options)
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    main(step_command)
