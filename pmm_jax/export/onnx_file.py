"""Write an ONNX file with its card, once it has been seen to embed as the model does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pmm_jax.data.augment import MEAN, STD
from pmm_jax.errors import UserError
from pmm_jax.export.card import data_name
from pmm_jax.export.crops import Crops
from pmm_jax.export.onnx_check import TOLERANCES, reference, relative_differences, run_onnx
from pmm_jax.export.onnx_graph import IR_VERSION, OPSET, chosen_heads, embedding_size, make_onnx
from pmm_jax.export.onnx_precision import to_float16, to_int8
from pmm_jax.export.presets import PRESETS, Preset
from pmm_jax.files import write_atomic

if TYPE_CHECKING:
    from onnx import ModelProto

    from pmm_jax.api import Model

Precision = Literal["float32", "float16", "int8"]


class OnnxOptions(NamedTuple):
    """What is exported."""

    preset: str = "plain"
    """Of `PRESETS`."""
    stages: int = 0
    """The first stages alone; 0 for the whole embedding."""
    precision: Precision = "float32"
    """Precision of weights and activations; input and output stay as the preset has them."""


def export_onnx(
    model: Model,
    target: Path,
    crops: Crops,
    options: OnnxOptions,
) -> dict[str, Any]:
    """Write FILE.onnx, its card FILE.json, and what the consumer reads beside it.

    Args:
        model: what embeds.
        target: the file.
        crops: what the file is checked on; int8 is calibrated on the half that is left out then.
        options: what is exported.

    Returns:
        The card.

    Raises:
        UserError: the file embeds differently, and isn't left behind; an extra is missing; the
            model has not so many stages; or a file can't be written.
    """
    preset = PRESETS[options.preset]
    heads = chosen_heads(model.network, options.stages)
    weights = model.network, model.params, model.batch_stats
    proto = make_onnx(*weights, model.image_size, preset, heads)
    size = preset.size(model.image_size)
    images = crops.resized(size)
    if options.precision == "int8":
        calibration, images = images[::2], images[1::2]
        proto = to_int8(proto, preset.feed(calibration))
    elif options.precision == "float16":
        proto = to_float16(proto)
    data = _checked(proto)
    length = embedding_size(model.network, heads)
    expected = reference(*weights, images, model.image_size)[:, :length]
    checks = _checks(target, options.precision, run_onnx(data, preset.feed(images)), expected)
    if preset.square:
        direct = reference(*weights, crops.resized(model.image_size), model.image_size)
        squared = reference(*weights, crops.resized(size), model.image_size)
        checks["square_difference_mean"] = float(relative_differences(squared, direct).mean())
    card = {
        **_form(target.name, preset, options, model.image_size, length),
        "model": {
            **_about(model),
            "heads": {name: model.network.embedding_sizes[name] for name in heads or ["trunk"]},
        },
        "checks": {"images": len(images), "of": crops.source, **checks},
    }
    files = {target.with_suffix(".json"): json.dumps(card, indent=1) + "\n"}
    if preset.beside is not None:
        name, text = preset.beside(target.name, card)
        files[target.with_name(name)] = text
    _write({path: text.encode() for path, text in files.items()} | {target: data})
    return card


def _about(model: Model) -> dict[str, Any]:
    """The card's part on the model, whatever is exported of it."""
    known = {"kind": model.kind, "image_size": list(model.image_size)}
    about: dict[str, Any] = {**known, "fingerprint": model.fingerprint}
    if model.info is not None:
        about["data"] = data_name(model, model.info)
        about["data_fingerprint"] = model.info.data_fingerprint
        about["metrics"] = dict(model.info.metrics)
    return about


def _checked(proto: ModelProto) -> bytes:
    """The file's bytes, once onnx finds nothing wrong with it."""
    import onnx

    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


def _checks(
    target: Path, precision: Precision, found: np.ndarray, expected: np.ndarray
) -> dict[str, Any]:
    """Figures for the card.

    Raises:
        UserError: the embeddings differ by more than their precision explains.
    """
    import onnxruntime

    differences = relative_differences(found, expected)
    worst, tolerance = float(differences.max()), TOLERANCES.get(precision)
    if tolerance is not None and not worst < tolerance:
        raise UserError(
            f"{target} is not written: onnxruntime's embeddings differ from the model's by "
            f"{worst:.1e} of their length, more than {tolerance:.0e}"
        )
    return {
        "relative_difference_max": worst,
        "relative_difference_mean": float(differences.mean()),
        "tolerance": tolerance,
        "onnxruntime": onnxruntime.__version__,
        "onnx_checker": "passed",
    }


def _form(
    name: str, preset: Preset, options: OnnxOptions, image_size: tuple[int, int], length: int
) -> dict[str, Any]:
    """The card's part that says what goes in and what comes out."""
    height, width = preset.size(image_size)
    resize = f"to {height}x{width} (height x width), bilinear, by the caller"
    if preset.size(image_size) != image_size:
        resize += f"; then to {image_size[0]}x{image_size[1]} inside the graph"
    is_outside = preset.range == "normalized"
    return {
        "file": name,
        "format": "onnx",
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "preset": options.preset,
        "for": preset.consumer,
        "precision": options.precision,
        "stages": options.stages or "all",
        "input": {
            "name": preset.input,
            "shape": ["batch", *preset.shape(image_size)],
            "layout": preset.layout,
            "type": preset.dtype,
            "color": preset.color,
            "range": preset.range,
            "resize": resize,
        },
        "output": {
            "name": preset.output,
            "shape": ["batch", length],
            "type": "float32",
            "unit_length": False,
        },
        "normalization": {
            "where": "outside, by the consumer" if is_outside else "inside the graph",
            "color": "RGB",
            "range": "0..1",
            "mean": [round(float(value), 6) for value in MEAN],
            "std": [round(float(value), 6) for value in STD],
        },
        "note": preset.note,
    }


def _write(files: Mapping[Path, bytes]) -> None:
    """Write all files, or none."""
    written = []
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
            written.append(path)
    except OSError as error:
        for other in written:
            other.unlink(missing_ok=True)
        raise UserError(f"can't write {path}: {error.strerror or error}") from error
