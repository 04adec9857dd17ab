"""What one accelerator does, on one page: for a person with one GPU and ten minutes.

    python -m benchmarks.gpu [--out FOLDER] [--only SECTION ...] [--rounds 20] [--toy] [--json]

Sections: the release's golden file; the step of the paper's network (64 images of 384x128, 751
identities) beside PyTorch's, and the cost of determinism; several steps a call, and the training
split resident on the device; embedding, evaluation and re-ranking at Market-1501's size; the ten
largest kernels. Each runs in a process of its own, one after the other: where one fails, the others
are still reported, and gpu.json says why. gpu.json and gpu.md in FOLDER grow with each section.

float32 is the platform's own (TF32 on recent NVIDIA GPUs); exact float32 has
jax_default_matmul_precision highest. PyTorch's rows need torch with CUDA. Besides jax, flax, optax,
orbax, numpy and pillow nothing else has to be installed. --toy is a small network for a CPU: it
shows that everything runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gpu_page import page
from benchmarks.gpu_sections import IDENTITIES
from benchmarks.step_worker import OURS, TORCH, TUNED, StepWorker
from pmm_jax.config import Config
from pmm_jax.runtime.children import tied

LIMIT = 600
"""Seconds after which a section is given up."""
ORDER = ("device", "parity", "flop", "steps", "feeding", "embedding", "ranking", "profile")


class StepRow(NamedTuple):
    """One row of the table of steps."""

    worker: str
    """Name of the step in benchmarks.step_worker."""
    config: Config
    precision: str = "float32"
    """Of its products: float32 (TF32 where there is one), exact float32, bfloat16."""
    environment: dict[str, str] = {}  # noqa: RUF012


def step_rows(config: Config) -> dict[str, StepRow]:
    """Every step that can run here, by its row's name."""
    half = replace(config, model=replace(config.model, compute_dtype="bfloat16"))
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    exact = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    rows = {
        "pmm_jax, float32": StepRow(OURS[0], config),
        "pmm_jax, exact float32": StepRow(OURS[0], config, "exact float32", exact),
        "pmm_jax, bfloat16": StepRow(OURS[0], half, "bfloat16"),
        "pmm_jax, bfloat16, no CAM": StepRow(OURS[1], half, "bfloat16"),
        "pmm_jax, bfloat16, deterministic": StepRow(
            OURS[0], half, "bfloat16", {"XLA_FLAGS": flags}
        ),
    }
    if importlib.util.find_spec("torch"):
        rows |= {name: StepRow(name, config) for name in TORCH}
        rows |= {
            name: StepRow(name, config, "bfloat16" if tuning.autocast else "float32")
            for name, tuning in TUNED.items()
        }
    return rows


def steps(config: Config, rounds: int, warm_up: int) -> dict[str, Any]:
    """Every step's `seconds` (median), `fastest`, `images_per_second`, `peak_memory_bytes`."""
    rows: dict[str, dict[str, Any]] = {}
    for name, row in step_rows(config).items():
        rows[name] = guarded(partial(timed_step, row, rounds, warm_up))
    released = rows.get(TORCH[0], {}).get("seconds")
    for found in rows.values():
        if released and "seconds" in found:
            found["ratio"] = found["seconds"] / released
    return {"rows": rows}


def timed_step(row: StepRow, rounds: int, warm_up: int) -> dict[str, Any]:
    """One step's figures."""
    batch = row.config.data.identities_per_batch * row.config.data.images_per_identity
    worker = StepWorker(row.worker, row.config, IDENTITIES, row.environment)
    for turn in range(warm_up + rounds):
        worker.step(counted=turn >= warm_up)
    median = float(np.median(worker.seconds))
    return {
        "seconds": median,
        "fastest": min(worker.seconds),
        "images_per_second": batch / median,
        "peak_memory_bytes": worker.close(),
        "precision": row.precision,
        **worker.facts,
    }


def guarded(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a section finds, or why it failed."""
    try:
        return measure()
    except subprocess.TimeoutExpired as error:
        return {"failed": f"took longer than {error.timeout:.0f} seconds"}
    except (Exception, SystemExit) as error:  # whatever it is, the other sections are still run
        return {"failed": str(error) or type(error).__name__}


def section(name: str, config: Config, limit: float = LIMIT) -> dict[str, Any]:
    """Run a section of benchmarks.gpu_sections in a process of its own.

    Raises:
        RuntimeError: it ended with an error; the message has its last line.
        TimeoutExpired: it took longer than `limit` seconds.
    """
    words = [sys.executable, "-m", "benchmarks.gpu_sections", name, json.dumps(asdict(config))]
    done = subprocess.run(tied(words), capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"]
        raise RuntimeError(said[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(
    config: Config, names: Sequence[str], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Run sections in order, writing both files after each."""
    found: dict[str, Any] = {"toy": options.toy, "sections": {}}
    for name in names:
        started = time.perf_counter()
        print(f"{name} ...", end="", file=sys.stderr, flush=True)
        if name == "steps":
            result = guarded(partial(steps, config, options.rounds, 2 if options.toy else 5))
        else:
            result = guarded(partial(section, name, config))
        result["took_seconds"] = time.perf_counter() - started
        why = f"failed: {result['failed']}" if "failed" in result else "done"
        print(f" {why} ({result['took_seconds']:.0f} s)", file=sys.stderr, flush=True)
        found["sections"][name] = result
        text = json.dumps(found, indent=1)
        (options.out / "gpu.json").write_text(text, encoding="utf-8")
        (options.out / "gpu.md").write_text(page(found), encoding="utf-8")
    return found


def paper_config(toy: bool = False) -> Config:
    """The paper's network from random weights; the toy is small, on a small image."""
    config = Config()
    config = replace(config, model=replace(config.model, weights="scratch"))
    if not toy:
        return config
    return replace(
        config,
        model=replace(config.model, stage_sizes=(1, 1, 1, 1), width=1 / 8),
        data=replace(
            config.data,
            image_size=(96, 32),
            erase_size=8,
            identities_per_batch=4,
            images_per_identity=2,
        ),
        method=replace(config.method, top_k=1),
        evaluate=replace(config.evaluate, batch_size=16),
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of both files")
    parser.add_argument("--only", nargs="+", choices=ORDER, default=ORDER, help="sections to run")
    parser.add_argument("--rounds", type=int, default=20, help="timed steps of each program")
    parser.add_argument("--toy", action="store_true", help="a small network, for a CPU")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the page")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = [name for name in ORDER if name in options.only]
    found = measure(paper_config(options.toy), names, options)
    print(json.dumps(found) if options.json else page(found))


if __name__ == "__main__":
    main()
