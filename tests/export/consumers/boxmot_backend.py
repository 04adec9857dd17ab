"""BoxMOT's own backend of ONNX files, from a frame and boxes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from boxmot.reid.backends.onnx_backend import ONNXBackend

from tests.export.consumers.embedding import answer


def embed(model: str, frame: np.ndarray, boxes: np.ndarray) -> tuple[Any, Any]:
    backend = ONNXBackend(Path(model), torch.device("cpu"), half=False)
    return backend.get_crops(boxes, frame), backend.get_features(boxes, frame)


if __name__ == "__main__":
    answer(embed)
