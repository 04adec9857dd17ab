"""Half precision and 8 bits, by onnxruntime's own converters."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pmm_jax.errors import missing_extra

if TYPE_CHECKING:
    from onnx import ModelProto

CALIBRATION_BATCH = 8


def to_float16(proto: ModelProto) -> ModelProto:
    """The graph in half precision, with the input and the output that it had.

    Raises:
        UserError: onnxruntime is not installed.
    """
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel
    except ImportError:
        raise missing_extra("--precision float16", "export") from None
    # A power or a sum of many cells leaves the range of half precision.
    wide = [
        node.name
        for node in proto.graph.node
        if ".pool" in node.name or node.op_type == "InstanceNormalization"
    ]
    half = convert_float_to_float16(proto, keep_io_types=True, node_block_list=wide)
    # The converter leaves the casts around those at the end.
    OnnxModel(half).topological_sort()
    return half


def to_int8(proto: ModelProto, feed: np.ndarray) -> ModelProto:
    """The graph with 8-bit activations and 7-bit weights, which have a scale for each channel.

    x86 processors without VNNI add two products of unsigned and signed bytes in 16 bits, and cut
    off what is more; with 7 bits nothing is, so a file embeds alike wherever it runs.

    Args:
        proto: in float32.
        feed: inputs (N, ...) by which the activations' ranges are found.

    Raises:
        UserError: onnxruntime is not installed.
    """
    try:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise missing_extra("--precision int8", "export") from None
    import onnx

    name = proto.graph.input[0].name
    batches = iter(
        {name: feed[start : start + CALIBRATION_BATCH]}
        for start in range(0, len(feed), CALIBRATION_BATCH)
    )
    with tempfile.TemporaryDirectory() as folder:
        shaped, target = Path(folder, "shaped.onnx"), Path(folder, "int8.onnx")
        # What else it can do has been done: there is nothing left to fold.
        quant_pre_process(proto, shaped, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            shaped,
            target,
            _Reader(batches),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            per_channel=True,
            reduce_range=True,
            # Their ranges are the pixels' and each image's own, and they take no time.
            nodes_to_exclude=[
                node.name
                for node in proto.graph.node
                if node.name.startswith("preprocess") or node.op_type == "InstanceNormalization"
            ],
        )
        return onnx.load(str(target))


class _Reader:
    """What onnxruntime asks for calibration data."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)
