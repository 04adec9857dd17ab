"""pmm export MODEL FILE.stablehlo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pmm_jax.cli.parsing import parse

DESCRIPTION = (
    "MODEL FILE.stablehlo [options]: write one program for CPU, CUDA and TPU that jax runs without "
    "this package and that is checked against the model, and FILE.stablehlo.json, which says what "
    "goes in and out."
)


@dataclass(frozen=True)
class Options:
    """Options of `pmm export MODEL FILE.stablehlo`."""

    stages: Literal[0, 1, 2, 3] = 0
    """Keep the embeddings of the first stages alone; 0 keeps all."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Checkpoint of the run; best is by mAP."""


def export_file(source: str, target: Path, arguments: Sequence[str]) -> None:
    """Parse, load, write the file and its card."""
    options = parse(Options(), arguments, DESCRIPTION, "pmm export")
    from pmm_jax.api import load_any
    from pmm_jax.display import Display
    from pmm_jax.export.crops import find_crops
    from pmm_jax.export.file_card import card_path
    from pmm_jax.export.stablehlo_file import export_stablehlo

    model = load_any(source, options.checkpoint)
    card = export_stablehlo(model, target, find_crops(model.info), options.stages)
    checks, display = card["checks"], Display()
    display.info(
        f"{target}: uint8 {card['input']['shape']} to {card['output']['shape']}, for "
        f"{', '.join(card['platforms'])}"
    )
    display.info(
        f"checked on {checks['images']} images ({checks['of']}): relative difference at most "
        f"{checks['relative_difference_max']:.1e}; card: {card_path(target)}"
    )
