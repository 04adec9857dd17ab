"""What each consumer of an ONNX file feeds it: names, layout, color, range, normalization.

A preset is a line in `PRESETS`. What goes wrong with exported re-ID models is nearly always
normalization that is done twice or not at all, so each preset says where it is done, and the check
of a written file feeds it as the consumer would.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from pmm_jax.data.augment import MEAN, STD
from pmm_jax.export.beside import boxmot_metadata, deepstream_block

Beside = Callable[[str, Mapping[str, Any]], tuple[str, str]]
"""Name of the ONNX file and its card, to a file that lies beside it: its name and its text."""


class Preset(NamedTuple):
    """A consumer's input and output."""

    consumer: str
    input: str
    """Name of the input."""
    output: str
    """Name of the output."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "uint8"] = "float32"
    color: Literal["RGB", "BGR"] = "RGB"
    range: Literal["0..255", "0..1", "normalized"] = "0..255"
    """Values of the input; `normalized` where the consumer subtracts the mean and divides by the
    deviation itself."""
    square: bool = False
    """The consumer resizes to a square of the model's height, and the graph to the model's size."""
    beside: Beside | None = None
    note: str = ""
    """What the card says besides."""

    @property
    def highest(self) -> int:
        """The white of the input, where it isn't normalized."""
        return 1 if self.range == "0..1" else 255

    def size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the input."""
        return (image_size[0],) * 2 if self.square else image_size

    def shape(self, image_size: tuple[int, int]) -> list[int]:
        """Shape of the input but for the batch."""
        size = self.size(image_size)
        return [*size, 3] if self.layout == "NHWC" else [3, *size]

    def in_order(self, channels: np.ndarray) -> np.ndarray:
        """Values of red, green and blue along the last axis, in the input's order."""
        return channels[..., ::-1] if self.color == "BGR" else channels

    def feed(self, images: np.ndarray) -> np.ndarray:
        """What the consumer makes of images that it has resized.

        Args:
            images: (N, h, w, 3) uint8 RGB, of `size`.

        Returns:
            The input, of `dtype` and `layout`.
        """
        x = images
        if self.range == "normalized":
            x = (images.astype(np.float32) / 255 - MEAN[None, None, None]) / STD[None, None, None]
        elif self.range == "0..1":
            x = images.astype(np.float32) / 255
        x = self.in_order(x).astype(self.dtype)
        return np.ascontiguousarray(x if self.layout == "NHWC" else x.transpose(0, 3, 1, 2))


PRESETS: dict[str, Preset] = {
    "plain": Preset(
        "anything that has uint8 images", "images", "embedding", layout="NHWC", dtype="uint8"
    ),
    "boxmot": Preset("BoxMOT", "images", "output0", range="normalized", beside=boxmot_metadata),
    "ultralytics": Preset(
        "trackers of ultralytics",
        "images",
        "output0",
        range="0..1",
        square=True,
        note="Releases differ in whether they read the input's width; a square suits all. "
        "square_difference_mean is what the detour costs: relative difference of the embedding "
        "from that of an image resized at once.",
    ),
    "deepstream": Preset(
        "DeepStream's NvDCF",
        "images",
        "embedding",
        beside=deepstream_block,
        note="DeepStream has one netScaleFactor for all channels, ImageNet has a deviation for "
        "each: 0.01735207 would scale red by 1.3 % too much and green and blue by 0.9 and 0.4 % "
        "too little. So the graph normalizes, and DeepStream must not.",
    ),
    "openvino": Preset("OpenVINO", "images", "reid_embedding", color="BGR"),
    "tensorrt": Preset("TensorRT's trtexec", "input", "embedding"),
}
