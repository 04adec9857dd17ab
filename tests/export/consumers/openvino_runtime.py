"""OpenVINO's runtime on crops as its model zoo feeds them: BGR, 0 to 255."""

from typing import Any

import numpy as np
import openvino

from tests.export.consumers.embedding import answer


def embed(model: str, frame: np.ndarray, boxes: np.ndarray) -> tuple[Any, Any]:
    crops = np.stack([frame[y1:y2, x1:x2] for x1, y1, x2, y2 in boxes])
    batch = crops.transpose(0, 3, 1, 2).astype(np.float32)
    # A CPU that can would otherwise compute in half precision.
    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", precision)
    return batch, compiled({"images": batch})["reid_embedding"]


if __name__ == "__main__":
    answer(embed)
