"""The project's other commands: python -m pmm_jax VERB."""

from pmm_jax import early  # noqa: F401  # before what takes long to import

# isort: split
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pmm_jax.cli import main, parse, parse_run
from pmm_jax.config import SEEDS, Config
from pmm_jax.errors import UserError
from pmm_jax.fields import number, path
from pmm_jax.files import user_path


def prepare(arguments: Sequence[str]) -> None:
    """Check a data set and build its prepared form: prepare --config FILE."""
    config, _ = parse_run(arguments, Config, "Check a data set and build its prepared form.")
    from pmm_jax.data.prepare import prepare

    folder = prepare(config.data, print, same_camera_rule=config.evaluate.cameras)
    print(f"prepared in {folder}")


def synthesize(arguments: Sequence[str]) -> None:
    """Draw a re-ID set of made-up people: synthesize DIR."""
    from pmm_jax.data.synthetic import SyntheticSettings, synthesize
    from pmm_jax.training.display import Display

    if not {"-h", "--help"} & set(arguments) and (not arguments or arguments[0][:1] in ("", "-")):
        raise UserError("synthesize needs a folder: python -m pmm_jax synthesize DIR")
    root, rest = arguments[0], arguments[1:]
    help_wanted = root in ("-h", "--help")
    settings = parse(
        SyntheticSettings(),
        [root] if help_wanted else rest,
        "Draw a re-ID set of made-up people in Market-1501's layout: synthesize DIR.",
    )
    display = Display()
    with display.bar("drawing", 0) as bar:
        count = synthesize(user_path(root), settings, bar.update, os.cpu_count() or 1)
    display.info(f"{root}: {count:,} images")


def convert(arguments: Sequence[str]) -> None:
    """Weights from or for PyTorch: convert RUN_OR_FILE FILE."""
    if {"-h", "--help"} & set(arguments) or len(arguments) != 2:
        usage = "python -m pmm_jax convert RUN_OR_FILE FILE (.pth.tar, .pth, .pt or .safetensors)"
        if len(arguments) != 2 and not {"-h", "--help"} & set(arguments):
            raise UserError(f"convert needs what to read and what to write: {usage}")
        print(f"usage: {usage}")
        return
    from pmm_jax.api import load, load_torch

    source, target = arguments
    model = load(source) if user_path(source).is_dir() else load_torch(source)
    model.save(target)
    print(f"{target}: {model.kind}, {len(model.state_dict()):,} tensors")


def parity(arguments: Sequence[str]) -> None:
    """Compare model and step with numbers of the PyTorch release: parity FILE.npz."""
    usage = "python -m pmm_jax parity FILE.npz"
    if {"-h", "--help"} & set(arguments):
        print(f"usage: {usage}\n\nExits with 1 where a quantity is beyond its tolerance.")
        return
    if len(arguments) != 1:
        raise UserError(f"parity needs a golden file: {usage}")
    import jax

    from pmm_jax.comparison.golden import read_golden
    from pmm_jax.comparison.parity import print_parity

    golden = read_golden(user_path(arguments[0]))
    with jax.enable_x64(True):
        agrees = print_parity(golden)
    sys.exit(not agrees)


@dataclass(frozen=True)
class CompareOptions(Config):
    """What compare takes besides the config's own fields."""

    workdir: str = path("runs/compare")
    """Folder of the comparison; with --against, a run of train.py."""
    against: str = path("")
    """PyTorch checkpoint of a trained PMM to compare the run in --workdir with."""
    precision: Literal["float32", "float64"] = "float32"
    """Of both sides' training."""
    seeds: tuple[int, ...] = number((), 0, SEEDS)
    """A pair for each of these in place of train.seed, so that the luck of training is counted."""


def compare(arguments: Sequence[str]) -> None:
    """Train ours and a PyTorch baseline side by side: compare --config FILE --workdir DIR."""
    config, options = parse_run(
        arguments, CompareOptions, "Train ours and a PyTorch baseline side by side."
    )
    import jax

    try:
        import torch  # noqa: F401
    except ImportError:
        raise UserError("compare needs torch: pip install -r requirements-torch.txt") from None
    from pmm_jax.comparison import compare
    from pmm_jax.comparison.page import verdict
    from pmm_jax.comparison.seeds import train_pairs
    from pmm_jax.training.display import Display

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


@dataclass(frozen=True)
class AblateOptions(Config):
    """What ablate takes besides the config's own fields."""

    workdir: str = path("runs/ablation")
    """Folder of the comparison."""
    methods: tuple[str, ...] = ("pmm", "cutout", "cutmix", "a_cutmix")
    """What is compared; the first is what the others are compared with. Fields that differ come
    behind a method's name, as in "pmm --method.top-k 2"."""
    seeds: tuple[int, ...] = number((0, 1), 0, SEEDS)
    """A run of each method for each of these, in place of train.seed."""


def ablate(arguments: Sequence[str]) -> None:
    """Train methods side by side and compare them: ablate --config FILE --methods pmm cutout ..."""
    config, options = parse_run(arguments, AblateOptions, "Train methods side by side.")
    from pmm_jax.ablation.ablate import ablate
    from pmm_jax.ablation.variants import read_grid
    from pmm_jax.training.display import Display

    variants, workdir = read_grid(config, options.methods), Path(options.workdir)
    complete = ablate(variants, options.seeds, workdir, Display())
    print((workdir / "ablation.md").read_text(encoding="utf-8"))
    sys.exit(not complete)


VERBS: dict[str, Callable[[Sequence[str]], None]] = {
    "ablate": ablate,
    "compare": compare,
    "convert": convert,
    "parity": parity,
    "prepare": prepare,
    "synthesize": synthesize,
}


def run(arguments: Sequence[str]) -> None:
    """Pick the verb."""
    listing = "\n".join(f"  {name:<12}{verb.__doc__}" for name, verb in VERBS.items())
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: python -m pmm_jax VERB ...\n\n{listing}")
        return
    if arguments[0] not in VERBS:
        raise UserError(f"no verb {arguments[0]}; there are {', '.join(VERBS)}")
    VERBS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    main(run)
