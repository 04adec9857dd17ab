"""pmm train --config NAME --workdir DIR [--group.field VALUE ...]."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pmm_jax.cli.parsing import parse_command
from pmm_jax.cli.report import report_end
from pmm_jax.config import Config
from pmm_jax.fields import path
from pmm_jax.launch import DistributedConfig


@dataclass(frozen=True)
class TrainOptions(Config, DistributedConfig):
    """Options of `pmm train` besides the config's fields."""

    workdir: str = path("runs/latest")
    """Folder of the run (config, log, checkpoints, report); an existing run is resumed."""
    profile: bool = False
    """Record a jax profiler trace of a few steps under WORKDIR/profile."""
    report: bool = True
    """Write report.html and report.json into the workdir at the end, as pmm report does."""
    init_from: str = path("")
    """Initialize from a trained model: the --workdir of another run, or a weights file. Classifiers
    are re-initialized if the identities differ."""


def train_command(arguments: Sequence[str]) -> None:
    """Parse, train."""
    config, options, named = parse_command(
        arguments, TrainOptions, "Train a re-identification model.", "pmm train"
    )
    from pmm_jax.distributed.processes import initialize_distributed
    from pmm_jax.runtime import set_up_training
    from pmm_jax.training.loop import train
    from pmm_jax.workdir.sessions import Command

    set_up_training()
    initialize_distributed(options)
    initial = None
    if options.init_from:
        from pmm_jax.training.initial import read_initial

        initial = read_initial(options.init_from)
    workdir = Path(options.workdir)
    finished = partial(report_end, config, workdir) if options.report else None
    command = Command(shlex.join(["pmm", "train", *arguments]), *named)
    train(config, workdir, options.profile, initial, finished, command)
