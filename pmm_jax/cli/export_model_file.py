"""pmm export RUN MODEL.safetensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pmm_jax.cli.parsing import parse

DESCRIPTION = "MODEL FILE.safetensors [options]: write a whole model into one file."


@dataclass(frozen=True)
class Options:
    """Options of `pmm export RUN MODEL.safetensors`."""

    checkpoint: Literal["latest", "best"] = "latest"
    """Checkpoint of the run; best is by mAP."""
    data_license: str = ""
    """License of the training data, in your words; a line of text."""
    weights_license: str = ""
    """License of the weights, likewise."""
    card: bool = False
    """Write a model card, README.md, beside the file."""


def export_file(source: str, target: Path, arguments: Sequence[str]) -> None:
    """Parse, read the model, write the file."""
    options = parse(Options(), arguments, DESCRIPTION, "pmm export")
    from pmm_jax.api import load_any
    from pmm_jax.export.model_file import add_to_info, export_model
    from pmm_jax.files import user_path

    model = load_any(source, options.checkpoint)
    model.info = add_to_info(
        model, user_path(source), options.data_license, options.weights_license
    )
    export_model(model, target, options.card)
    print(f"{target}: {model.kind}, fingerprint {model.fingerprint}")
    if options.card:
        print(f"{target.with_name('README.md')}: its card")
