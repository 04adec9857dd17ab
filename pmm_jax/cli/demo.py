"""pmm demo [--workdir DIR]."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pmm_jax.cli.parsing import parse_command
from pmm_jax.cli.report import report_end
from pmm_jax.cli.synthesize import draw
from pmm_jax.config import Config
from pmm_jax.data.synthetic import SyntheticSettings
from pmm_jax.display import Display
from pmm_jax.fields import path


@dataclass(frozen=True)
class DemoOptions(Config):
    """Options of `pmm demo` besides the config's fields."""

    workdir: str = path("runs/demo")
    """Folder of the run; the synthetic images go to data.root."""
    people: SyntheticSettings = field(default_factory=SyntheticSettings)
    """Settings of the synthetic people."""


def demo_command(arguments: Sequence[str]) -> None:
    """Draw synthetic people, train on them, print the color baseline's accuracy."""
    config, options, named = parse_command(
        ["--config", "demo", *arguments],
        DemoOptions,
        "Draw synthetic people, train on them and evaluate.",
        "pmm demo",
    )
    root, display = Path(config.data.root), Display()
    draw(root, str(root), options.people, display)
    from pmm_jax.color_baseline import color_baseline
    from pmm_jax.data.split import open_split
    from pmm_jax.runtime import set_up_training
    from pmm_jax.training.loop import train
    from pmm_jax.workdir.sessions import Command

    set_up_training()
    workdir = Path(options.workdir)
    command = Command(shlex.join(["pmm", "demo", *arguments]), *named)
    finished = partial(report_end, config, workdir)
    train(config, workdir, finished=finished, command=command)
    query, gallery = (open_split(config.data, name) for name in ("query", "gallery"))
    colors = color_baseline(query, gallery, config.evaluate)
    display.info(f"color alone: Rank-1 {colors.rank1:.1%}  mAP {colors.mAP:.1%}")
