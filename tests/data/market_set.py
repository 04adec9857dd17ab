"""A Market-1501 of seven synthetic images, and how the tests prepare it."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import prepared_folder
from pmm_jax.errors import UserError

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c6s3_094992_04.jpg"],
    "query": ["0001_c1s1_001051_00.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c1s1_000301_00.jpg",
        "0001_c2s1_000301_00.jpg",
    ],
}


def draw(path: Path, seed: int, mode: str = "RGB") -> None:
    """An image that differs by its name and its folder's, too: train and test share no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = zlib.crc32("/".join(path.parts[-2:]).encode())
    pixels = np.random.default_rng([seed, name]).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def lines_of(config: DataConfig) -> list[str]:
    lines: list[str] = []
    prepare(config, lines.append)
    return lines


def refused(config: DataConfig) -> tuple[str, list[str]]:
    """The error's one line, and what was reported before it."""
    lines: list[str] = []
    with pytest.raises(UserError) as raised:
        prepare(config, lines.append)
    assert "\n" not in str(raised.value)
    assert not prepared_folder(config).exists()
    return str(raised.value), lines
