"""The encoder that ultralytics' trackers build, from a frame and boxes."""

from typing import Any

import numpy as np
from ultralytics.trackers.utils.reid import build_encoder

from tests.export.consumers.embedding import answer


def embed(model: str, frame: np.ndarray, boxes: np.ndarray) -> tuple[Any, Any]:
    encoder = build_encoder(True, model, "cpu")
    corners = boxes.astype(np.float32)
    sizes = corners[:, 2:] - corners[:, :2]
    # Its detections are center and size.
    detections = np.concatenate([corners[:, :2] + sizes / 2, sizes], axis=1)
    crops = encoder._crop_detections(frame, detections)
    return encoder._crops_to_tensor(crops), encoder(frame, detections)


if __name__ == "__main__":
    answer(embed)
