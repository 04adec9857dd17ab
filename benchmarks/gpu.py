"""What one accelerator does: a golden file's parity, and the step beside PyTorch's.

    python -m benchmarks.gpu [--json FILE] [--rounds 20] [--toy]

The paper's network and batch: 64 images of 384x128, 16 identities of 751. Steps have the device to
themselves, one after the other, each in a process of its own. float32 is the platform's own (TF32
on recent NVIDIA GPUs), exact float32 has jax_default_matmul_precision highest. PyTorch's rows need
torch with CUDA. --toy is a small network for a CPU: it shows that everything runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.step_worker import OURS, TORCH, TUNED, StepWorker
from pmm_jax.config import Config

GOLDEN = Path(__file__).parents[1] / "tests/golden/release_p4_c10_s21.npz"
IDENTITIES = 751
EXACT = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}


def rows_of(config: Config) -> dict[str, tuple[str, Config, dict[str, str]]]:
    """Every step that can run here, by its row's name: its name, config, environment."""
    half = replace(config, model=replace(config.model, compute_dtype="bfloat16"))
    rows = {
        "pmm_jax, float32": (OURS[0], config, {}),
        "pmm_jax, exact float32": (OURS[0], config, EXACT),
        "pmm_jax, bfloat16": (OURS[0], half, {}),
        "pmm_jax, bfloat16, no CAM": (OURS[1], half, {}),
    }
    if importlib.util.find_spec("torch"):
        rows |= {name: (name, config, {}) for name in (*TORCH, *TUNED)}
    return rows


def steps(
    config: Config, rounds: int, warm_up: int, skip: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Every step's `seconds` (median), `fastest`, `images_per_second`, `peak_memory_bytes`."""
    batch = config.data.identities_per_batch * config.data.images_per_identity
    rows = {}
    for name, (worker_name, its_config, environment) in rows_of(config).items():
        if name in skip:
            continue
        worker = StepWorker(worker_name, its_config, IDENTITIES, environment)
        for turn in range(warm_up + rounds):
            worker.step(counted=turn >= warm_up)
        median = float(np.median(worker.seconds))
        rows[name] = {
            "seconds": median,
            "fastest": min(worker.seconds),
            "images_per_second": batch / median,
            "peak_memory_bytes": worker.close(),
            **worker.facts,
        }
    for row in rows.values():
        row["ratio"] = row["seconds"] / rows.get(TORCH[0], row)["seconds"]
    return rows


def parity() -> dict[str, Any]:
    """The golden file's comparison, in float64 on this device, in a process of its own."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pmm_jax", "parity", str(GOLDEN)], capture_output=True, text=True
    )
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return {"agrees": done.returncode == 0, "said": said, "seconds": time.perf_counter() - started}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The rows as lines of text."""
    lines = [f"{'step':<28}{'ms':>9}{'images/s':>10}{'ratio':>7}{'peak GB':>9}"]
    lines += [
        f"{name:<28}{row['seconds'] * 1e3:>9.2f}{row['images_per_second']:>10.0f}"
        f"{row['ratio']:>7.2f}{row['peak_memory_bytes'] / 1e9:>9.2f}"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--rounds", type=int, default=20, help="timed steps of each program")
    parser.add_argument("--skip", nargs="*", default=(), help="rows to leave out")
    parser.add_argument("--toy", action="store_true", help="a small network, without parity")
    options = parser.parse_args()
    config = Config()
    config = replace(config, model=replace(config.model, weights="scratch"))
    if options.toy:
        small = replace(config.model, stage_sizes=(1, 1, 1, 1), width=1 / 8)
        config = replace(
            config,
            model=small,
            data=replace(config.data, image_size=(96, 32), erase_size=8),
            method=replace(config.method, top_k=1),
        )
    found: dict[str, Any] = {
        "steps": steps(config, options.rounds, 2 if options.toy else 5, options.skip)
    }
    print(table(found["steps"]), flush=True)
    if not options.toy:
        found["parity"] = parity()
        print("\n".join(found["parity"]["said"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
