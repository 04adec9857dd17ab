"""pmm calibrate MODEL [SOURCE] [--false-match-rate R]."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pmm_jax.cli.parsing import leading_words, parse, wants_help
from pmm_jax.errors import UserError
from pmm_jax.fields import number, path

if TYPE_CHECKING:
    from pmm_jax.api import Model
    from pmm_jax.calibration import Calibration
    from pmm_jax.display import Display
    from pmm_jax.search.calibrate import LabeledImages

USAGE = "pmm calibrate MODEL [SOURCE] [options]"
DESCRIPTION = (
    "MODEL [SOURCE] [options]: find the distance below which two images count as one person, and "
    "store it with the model. MODEL is a run's folder, whose query and gallery are taken, or a "
    "model file. SOURCE is a CSV file with columns path, id and camera, or what pmm embed wrote of "
    "one."
)


@dataclass(frozen=True)
class DataOptions:
    """Where images are."""

    root: str = path("")
    """Folder of the run's images now, if elsewhere."""


@dataclass(frozen=True)
class Options:
    """Options of `pmm calibrate`."""

    false_match_rate: float = number(0.001, 1e-9, 0.999999)
    """Fraction of pairs of different people that may be taken for one person."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Checkpoint of the run; best is by mAP."""
    data: DataOptions = DataOptions()
    seed: int = number(0, 0, 2**31 - 1)
    """Seed of the resampling."""
    json: bool = False
    """Print one JSON object instead of the lines."""


def calibrate_command(arguments: Sequence[str]) -> None:
    """Parse, embed, calibrate, store, print."""
    named, words = leading_words(arguments)
    options = parse(Options(), words, DESCRIPTION, "pmm calibrate")
    if len(named) not in (1, 2) and not wants_help(words):
        raise UserError(f"calibrate needs a model: {USAGE}")
    from pmm_jax.api import load
    from pmm_jax.display import Display
    from pmm_jax.export.model_file import export_model
    from pmm_jax.files import user_path
    from pmm_jax.runtime import set_up_training
    from pmm_jax.search.calibrate import calibrate_model
    from pmm_jax.workdir.calibration_file import write_calibration

    if named[0].startswith("hf:"):
        raise UserError(f"{named[0]} can't be changed; download it, and name the file")
    set_up_training()
    target, display = user_path(named[0]), Display(stderr=options.json)
    model = load(target, options.checkpoint)
    images = _images(model, named, options, display)
    found = calibrate_model(model, images, options.false_match_rate, options.seed)
    if target.is_dir():
        target = write_calibration(target, found)
    else:
        model.calibration = found
        export_model(model, target)
    print(json.dumps(found.as_json()) if options.json else _text(found))
    display.info(f"stored in {target}")


def _images(
    model: Model, named: Sequence[str], options: Options, display: Display
) -> LabeledImages:
    """What is calibrated on.

    Raises:
        UserError: nothing is named for a model file, or what another model embedded.
    """
    from pmm_jax.embedding.embed_source import embedding_table_of
    from pmm_jax.files import user_path
    from pmm_jax.search.calibrate import labeled_run, labeled_table

    target = user_path(named[0])
    if len(named) == 2:
        return labeled_table(embedding_table_of(named[1], model, display), Path(named[1]).name)
    if not target.is_dir():
        raise UserError(
            f"{target} is a file, which knows no images: name what pmm embed wrote of people that "
            "the model wasn't trained on, too"
        )
    return labeled_run(target, options.checkpoint, options.data.root, display)


def _text(found: Calibration) -> str:
    """Lines for people."""
    low, high = found.interval
    false, missed = found.false_match_interval, found.missed_match_interval
    return "\n".join(
        [
            f"threshold      {found.threshold:.4g} ({low:.4g} to {high:.4g}), {found.distance}",
            f"false matches  {found.false_match_rate:.3%} of pairs of different people; "
            f"{false[0]:.3%} to {false[1]:.3%} on as many others",
            f"missed matches {found.missed_match_rate:.1%} of pairs of one person; "
            f"{missed[0]:.1%} to {missed[1]:.1%} on as many others",
            f"from {found.identities:,} people by {len(found.cameras) or 'unknown'} cameras: "
            f"{found.pairs:,} pairs of different people, {found.same_pairs:,} of one",
        ]
    )
