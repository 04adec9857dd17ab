"""Write an ONNX file with its card, once it has been seen to embed as the model does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pmm_jax.export.crops import Crops
from pmm_jax.export.file_card import (
    about_model,
    card_path,
    compare,
    encode_card,
    normalization,
    write_all,
)
from pmm_jax.export.onnx_check import TOLERANCES, reference, relative_differences, run_onnx
from pmm_jax.export.onnx_graph import IR_VERSION, OPSET, chosen_heads, embedding_size, make_onnx
from pmm_jax.export.onnx_precision import to_float16, to_int8
from pmm_jax.export.presets import PRESETS, Preset

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
    """Write FILE.onnx, its card FILE.onnx.json, and what the consumer reads beside it.

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

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.export.crops import find_crops
        >>> from pmm_jax.export.onnx_file import OnnxOptions, export_onnx
        >>> crops = find_crops(model.info, count=4)
        >>> card = export_onnx(model, Path("demo.onnx"), crops, OnnxOptions(stages=1))
        >>> card["input"]["shape"], card["output"]["shape"]
        (['batch', 128, 64, 3], ['batch', 512])
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
    checks: dict[str, Any] = {"images": len(images), "of": crops.source}
    found, tolerance = run_onnx(data, preset.feed(images)), TOLERANCES.get(options.precision)
    checks |= compare(target, "onnxruntime", found, expected, tolerance)
    checks |= {"onnxruntime": _version(), "onnx_checker": "passed"}
    if preset.square:
        direct = reference(*weights, crops.resized(model.image_size), model.image_size)
        squared = reference(*weights, crops.resized(size), model.image_size)
        checks["square_difference_mean"] = float(relative_differences(squared, direct).mean())
    card = {
        **_form(target.name, preset, options, model.image_size, length),
        "model": about_model(model, heads),
        "checks": checks,
    }
    files = {card_path(target): encode_card(card)}
    if preset.beside is not None:
        name, text = preset.beside(target.name, card)
        files[target.with_name(name)] = text
    write_all({path: text.encode() for path, text in files.items()} | {target: data})
    return card


def _checked(proto: ModelProto) -> bytes:
    """The file's bytes, once onnx finds nothing wrong with it."""
    import onnx

    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _form(
    name: str, preset: Preset, options: OnnxOptions, image_size: tuple[int, int], length: int
) -> dict[str, Any]:
    """The card's part that says what goes in and what comes out."""
    height, width = preset.size(image_size)
    resize = f"to {height}x{width} (height x width), bilinear, by the caller"
    if preset.size(image_size) != image_size:
        resize += f"; then to {image_size[0]}x{image_size[1]} inside the graph"
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
        "normalization": normalization(preset.range == "normalized"),
        "note": preset.note,
    }
