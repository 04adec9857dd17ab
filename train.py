"""Train: python train.py --config configs/NAME.py --workdir DIR [--group.field VALUE ...]."""

from pmm_jax import early  # noqa: F401  # before what takes long to import

# isort: split
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pmm_jax.cli import main, parse_run
from pmm_jax.config import Config
from pmm_jax.fields import path
from pmm_jax.launch import DistributedConfig


@dataclass(frozen=True)
class Options(Config, DistributedConfig):
    """What train.py takes besides the config's own fields."""

    workdir: str = path("runs/latest")
    """Folder of the run: config, metrics, checkpoints. The same one again goes on with it."""
    profile: bool = False
    """Record a jax profiler trace of a few steps under WORKDIR/profile."""
    init_from: str = path("")
    """Start from a whole trained model: the --workdir of another run, or a weights file.
    Classifiers are new where the identities are others."""


def run(arguments: Sequence[str]) -> None:
    """Parse, train."""
    config, options = parse_run(arguments, Options, "Train a re-identification model.")
    from pmm_jax.training.loop import train
    from pmm_jax.training.processes import initialize_distributed

    initialize_distributed(options)
    initial = None
    if options.init_from:
        from pmm_jax.training.initial import read_initial

        initial = read_initial(options.init_from)
    train(config, Path(options.workdir), options.profile, initial)


if __name__ == "__main__":
    main(run)
