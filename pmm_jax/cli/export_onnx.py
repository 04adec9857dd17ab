"""pmm export MODEL FILE.onnx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pmm_jax.cli.parsing import parse

DESCRIPTION = (
    "MODEL FILE.onnx [options]: write an ONNX graph that is checked against the model, "
    "FILE.onnx.json, which says what goes in and out, and what the consumer reads beside them."
)


@dataclass(frozen=True)
class Options:
    """Options of `pmm export MODEL FILE.onnx`."""

    preset: Literal["plain", "boxmot", "ultralytics", "deepstream", "openvino", "tensorrt"] = (
        "plain"
    )
    """What takes the file; decides its input, and where images are normalized."""
    stages: Literal[0, 1, 2, 3] = 0
    """Keep the embeddings of the first stages alone; 0 keeps all."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """Precision of weights and activations."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Checkpoint of the run; best is by mAP."""


def export_file(source: str, target: Path, arguments: Sequence[str]) -> None:
    """Parse, load, write the file and its card."""
    options = parse(Options(), arguments, DESCRIPTION, "pmm export")
    from pmm_jax.api import load_any
    from pmm_jax.display import Display
    from pmm_jax.export.crops import find_crops
    from pmm_jax.export.file_card import card_path
    from pmm_jax.export.onnx_file import OnnxOptions, export_onnx

    model = load_any(source, options.checkpoint)
    chosen = OnnxOptions(options.preset, options.stages, options.precision)
    card = export_onnx(model, target, find_crops(model.info), chosen)
    checks, display = card["checks"], Display()
    display.info(
        f"{target}: {card['input']['name']} {card['input']['shape']} to {card['output']['name']} "
        f"{card['output']['shape']}, normalized {card['normalization']['where']}"
    )
    display.info(
        f"checked on {checks['images']} images ({checks['of']}): relative difference at most "
        f"{checks['relative_difference_max']:.1e}; card: {card_path(target)}"
    )
