"""One run of a comparison, in a process of its own: python -m pmm_jax.ablation.one JSON FOLDER."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pmm_jax.cli.program import main
from pmm_jax.config_check import parse_config

RESULT = "result.npz"
"""File that a finished run leaves: `hits` and `average_precision` (Q,), `overlap`, `seconds`."""


def run_command(arguments: Sequence[str]) -> None:
    """Train, evaluate, measure the overlap and write the result."""
    text, folder = arguments
    config, workdir = parse_config(text), Path(folder)
    from pmm_jax.api import load
    from pmm_jax.report.overlap import run_overlap
    from pmm_jax.runtime import set_up_training
    from pmm_jax.training.loop import train

    set_up_training()
    started = time.monotonic()
    metrics = train(config, workdir)
    seconds = time.monotonic() - started
    partial = workdir / f"{RESULT}.partial"
    with partial.open("wb") as file:
        np.savez(
            file,
            hits=metrics.hits,
            average_precision=metrics.average_precision,
            overlap=run_overlap(load(workdir), config).mean(),
            seconds=seconds,
        )
    partial.replace(workdir / RESULT)


if __name__ == "__main__":
    main(run_command)
