"""pmm compare --config NAME --workdir DIR."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pmm_jax.cli.parsing import parse_run
from pmm_jax.config import SEEDS, Config
from pmm_jax.errors import UserError, missing_extra
from pmm_jax.fields import number, path


@dataclass(frozen=True)
class CompareOptions(Config):
    """Options of `pmm compare` besides the config's fields."""

    workdir: str = path("runs/compare")
    """Output folder of the comparison; with --against, the folder of a trained run."""
    against: str = path("")
    """PyTorch checkpoint of a trained PMM to compare the run in --workdir with."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point type in which both sides are trained."""
    seeds: tuple[int, ...] = number((), 0, SEEDS)
    """Seeds to train a pair with, in place of train.seed; intervals then include the variance over
    seeds."""


def compare_command(arguments: Sequence[str]) -> None:
    """Parse, train or read the pair, print both sides."""
    config, options = parse_run(
        arguments,
        CompareOptions,
        "Train ours and a PyTorch baseline side by side.",
        "pmm compare",
    )
    import jax

    try:
        import torch  # noqa: F401
    except ImportError:
        raise missing_extra("compare", "torch") from None
    from pmm_jax.comparison import compare
    from pmm_jax.comparison.page import verdict
    from pmm_jax.comparison.seeds import train_pairs
    from pmm_jax.display import Display

    if options.against and options.seeds:
        raise UserError("--against compares one trained pair; it has no --seeds")
    workdir, display = Path(options.workdir), Display()
    with jax.enable_x64(options.precision == "float64"):
        if options.against:
            result = compare.against(config, workdir, Path(options.against), display)
        elif options.seeds:
            result = train_pairs(config, workdir, options.precision, options.seeds, display)
        else:
            result = compare.train_pair(config, workdir, options.precision, display)
    compare.write(result, workdir)
    for side in ("ours", "baseline"):
        values = result[side]
        display.info(f"{side:<9} Rank-1 {values['rank1']:.1%}  mAP {values['mAP']:.1%}")
    display.info(f"{verdict(result)} {workdir / 'comparison.html'}")
