"""pmm export MODEL FILE.onnx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pmm_jax.cli.parsing import parse
from pmm_jax.files import user_path


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


def export_file(source: str, target: Path, arguments: Sequence[str]) -> None:
    """Parse, load, write the file and its card."""
    description = (
        "Write an ONNX graph that is checked against the model, FILE.json, which says what goes in "
        "and out, and what the consumer reads beside them."
    )
    options = parse(Options(), arguments, description, f"pmm export MODEL {target.name}")
    from pmm_jax.cli.model_argument import load_model
    from pmm_jax.display import Display
    from pmm_jax.export.crops import find_crops
    from pmm_jax.export.onnx_file import OnnxOptions, export_onnx
    from pmm_jax.workdir.run_config import load_run_config

    model = load_model(source)
    folder = user_path(source)
    data = load_run_config(folder).data if folder.is_dir() else None
    chosen = OnnxOptions(options.preset, options.stages, options.precision)
    card = export_onnx(model, target, find_crops(data), chosen, _about(folder))
    checks, display = card["checks"], Display()
    display.info(
        f"{target}: {card['input']['name']} {card['input']['shape']} to {card['output']['name']} "
        f"{card['output']['shape']}, normalized {card['normalization']['where']}"
    )
    display.info(
        f"checked on {checks['images']} images ({checks['of']}): relative difference at most "
        f"{checks['relative_difference_max']:.1e}; card: {target.with_suffix('.json')}"
    )


def _about(folder: Path) -> dict[str, Any]:
    """Name, data set and last metrics of a run; the name alone of a file."""
    from pmm_jax.report.run_data import EVALUATION
    from pmm_jax.workdir.run_config import load_run_config
    from pmm_jax.workdir.run_log import read_metrics

    about: dict[str, Any] = {"name": folder.resolve().name}
    if folder.is_dir():
        about["data"] = load_run_config(folder).data.name
        lines = [line for line in read_metrics(folder) if line.keys() >= EVALUATION]
        about["metrics"] = lines[-1] if lines else None
    return about
