"""pmm ablate --config NAME --methods pmm cutout ... --seeds 0 1."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pmm_jax.cli.parsing import parse_run
from pmm_jax.config import SEEDS, Config
from pmm_jax.fields import number, path


@dataclass(frozen=True)
class AblateOptions(Config):
    """Options of `pmm ablate` besides the config's fields."""

    workdir: str = path("runs/ablation")
    """Output folder of the comparison."""
    methods: tuple[str, ...] = ("pmm", "cutout", "cutmix", "a_cutmix")
    """Methods to compare; the first is the reference. Options of one method follow its name, as in
    "pmm --method.top-k 2"."""
    seeds: tuple[int, ...] = number((0, 1), 0, SEEDS)
    """Seeds to train each method with, in place of train.seed."""


def ablate_command(arguments: Sequence[str]) -> None:
    """Parse, train all, print the table; exit with 1 where a run failed."""
    config, options = parse_run(
        arguments, AblateOptions, "Train methods side by side.", "pmm ablate"
    )
    from pmm_jax.ablation.ablate import ablate
    from pmm_jax.ablation.grid import read_grid
    from pmm_jax.display import Display

    variants, workdir = read_grid(config, options.methods), Path(options.workdir)
    complete = ablate(variants, options.seeds, workdir, Display())
    print((workdir / "ablation.md").read_text(encoding="utf-8"))
    sys.exit(not complete)
