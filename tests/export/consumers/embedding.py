"""What the consumers' programs share: arguments, the answer, and no way to the network.

    python -m tests.export.consumers.NAME MODEL.onnx FRAME.npy BOXES PACKAGE...

It runs in an environment of a consumer's own, so nothing of this project or of pytest is imported.
"""

import json
import socket
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

Embed = Callable[[str, np.ndarray, np.ndarray], tuple[Any, Any]]
"""File, frame (H, W, 3) uint8 BGR and boxes (N, 4) int, x1 y1 x2 y2; to what the graph is fed,
(N, 3, h, w), and the features, (N, D)."""


def answer(embed: Embed) -> None:
    """Print the inputs, the features and the packages' versions as JSON, on the last line."""
    setattr(socket.socket, "connect", _refuse)  # noqa: B010 - a method is put in another's place
    model, frame, boxes, *packages = sys.argv[1:]
    inputs, features = embed(model, np.load(frame), np.array(json.loads(boxes)))
    print(
        json.dumps(
            {
                "inputs": np.asarray(inputs, np.float64).tolist(),
                "features": np.asarray(features, np.float64).tolist(),
                "versions": {package: version(package) for package in packages},
            }
        )
    )


def _refuse(_: socket.socket, address: object) -> None:
    raise OSError(f"a consumer asks the network for {address}")
