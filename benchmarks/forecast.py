"""What the paper's training should cost on machines that nobody measured: arithmetic, no timing.

    python -m benchmarks.forecast [--json]

Compiles the full-size step (ResNet-50, 384x128, bfloat16, the stock operations) for one device and
for eight, reads FLOP, bytes and transfers off the programs, and divides by the chips' data sheets.
The floor is computing alone, at the chip's full rate. Bytes and transfers are those of the program
as compiled for a CPU, which widens bfloat16 and fuses otherwise than an accelerator: they say what
to watch, not what it will take. All figures are of one device.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

from benchmarks.hlo import by_kind, transfers
from benchmarks.program import program
from pmm_jax.cli.config_file import load_config
from pmm_jax.model.operations import forms_for

BATCH, EPOCHS, STEPS = 64, 400, 46
"""Of the paper on Market-1501: images a step, epochs, steps an epoch (751 identities by 16)."""


@dataclass(frozen=True)
class Chip:
    """A device by its maker's data sheet."""

    flops: float
    """bfloat16 FLOP/s, dense."""
    memory: float
    """Bytes a second between the device and its memory."""
    link: float
    """Bytes a second that one device sends to its peers."""


CHIPS = {
    "H100 SXM": Chip(989e12, 3.35e12, 450e9),
    "TPU v5e": Chip(197e12, 819e9, 200e9),
}
MACHINES = (("H100 SXM", 1), ("H100 SXM", 8), ("TPU v5e", 8))


def forecast() -> list[dict]:
    """A row for each of MACHINES, the paper's batch split over its devices."""
    config = load_config("configs/market1501.py")
    config = replace(
        config, model=replace(config.model, weights="scratch", compute_dtype="bfloat16")
    )
    rows = []
    for name, devices in MACHINES:
        each = BATCH // devices // config.data.images_per_identity
        part = replace(config, data=replace(config.data, identities_per_batch=each))
        with forms_for("tpu"):
            step = program(part, 751, devices).step
        costs = step.cost_analysis()
        moved = by_kind(transfers(step.as_text()))
        chip = CHIPS[name]
        # A ring sends each byte of an all-reduce twice, of a gather once.
        sent = sum(size * (2 if kind == "all-reduce" else 1) for kind, size in moved.items())
        computing, memory = costs["flops"] / chip.flops, costs["bytes accessed"] / chip.memory
        rows.append(
            {
                "machine": f"{devices} x {name}",
                "flop": costs["flops"],
                "bytes": costs["bytes accessed"],
                "moved": moved,
                "computing_seconds": computing,
                "memory_seconds": memory,
                "transfer_seconds": sent / chip.link,
                "images_per_second": BATCH / computing,
                "hours": EPOCHS * STEPS * computing / 3600,
            }
        )
    return rows


def main() -> None:
    """Print the rows."""
    rows = forecast()
    if "--json" in sys.argv[1:]:
        print(json.dumps(rows))
        return
    print(
        f"{'machine':<14}{'TFLOP':>7}{'GB':>7}{'floor ms':>10}{'memory ms':>11}"
        f"{'transfer ms':>13}{'images/s':>10}{'hours':>7}"
    )
    for row in rows:
        print(
            f"{row['machine']:<14}{row['flop'] / 1e12:>7.2f}{row['bytes'] / 1e9:>7.1f}"
            f"{row['computing_seconds'] * 1e3:>10.2f}{row['memory_seconds'] * 1e3:>11.2f}"
            f"{row['transfer_seconds'] * 1e3:>13.2f}"
            f"{row['images_per_second']:>10.0f}{row['hours']:>7.2f}"
        )


if __name__ == "__main__":
    main()
