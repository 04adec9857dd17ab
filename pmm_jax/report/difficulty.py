"""How hard queries are by what their pictures are like."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from pmm_jax.errors import UserError
from pmm_jax.evaluation.bootstrap import mean_interval
from pmm_jax.report.run_data import RunData, resized

FACTORS = {
    "height": "height, pixels",
    "brightness": "brightness, mean of gray from 0 to 255",
    "sharpness": "sharpness, variance of the Laplacian",
}
"""What is measured of each image, and label of its axis."""
COMMON_HEIGHT = 128
"""Pixels at which sharpness is measured: at its own size, a larger image is smoother."""
THREADS = 2
"""PIL frees the interpreter while it decodes."""


def measured(image: np.ndarray) -> tuple[float, float, float]:
    """FACTORS of an image (H, W, 3) uint8; blurred ones have a low variance of the Laplacian."""
    brightness = np.asarray(Image.fromarray(image).convert("L")).mean()
    common = np.asarray(resized(image, COMMON_HEIGHT).convert("L"), np.float32)
    return len(image), float(brightness), float(ndimage.laplace(common).var(dtype=np.float64))


def measure(run: RunData, paths: list[str]) -> np.ndarray:
    """(N, 3): FACTORS of images; NaN where one can't be read."""

    def one(path: str) -> tuple[float, float, float]:
        try:
            return measured(run.image(path))
        except UserError:
            return np.nan, np.nan, np.nan

    run.split("query")  # where there is none, one line says so, not one of each image
    with ThreadPoolExecutor(THREADS) as pool:
        return np.array(list(pool.map(one, paths))).reshape(-1, len(FACTORS))


def quartiles(values: np.ndarray, precisions: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Mean average precision by quartile, of queries with a match.

    Equal values stay together, so quartiles of few values may be fewer.

    Args:
        values: (Q,) what the queries are parted by; NaN where unknown.
        precisions: (Q,) average precision; NaN without a match.
        seed: of the intervals.
    """
    known = ~np.isnan(values) & ~np.isnan(precisions)
    values, precisions = values[known], precisions[known]
    if not len(values):
        return []
    quartile = np.searchsorted(np.quantile(values, (0.25, 0.5, 0.75)), values)
    groups = []
    for number in np.unique(quartile):
        mine = quartile == number
        interval = mean_interval(precisions[mine], seed)
        groups.append(
            {
                "low": float(values[mine].min()),
                "high": float(values[mine].max()),
                "queries": int(mine.sum()),
                "mAP": interval.mean,
                "interval": [interval.low, interval.high],
            }
        )
    return groups
