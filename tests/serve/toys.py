"""A tiny model and a gallery of it."""

import copy
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.calibration import Calibration
from pmm_jax.config import ModelConfig
from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from pmm_jax.search.gallery import Gallery
from pmm_jax.search.model import maker_of

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)
BATCHES = (1, 4)
"""In place of embedder.SIZES, as each is compiled."""
COUNT = 12
"""Images of the gallery, of 6 identities and 3 cameras."""


def tiny_model() -> Model:
    """A bare trunk: one that compiles soon."""
    network = create_network(SIZES, "trunk", 5)
    return Model("trunk", network, *init_params(network, 0), (64, 32))


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Coarse noise, so that no two embeddings are alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 8, 4, 3)).astype(np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises more than its few bytes hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(2**20))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def toy_gallery(model: Model, folder: Path, address: str = "model") -> Gallery:
    """A gallery of COUNT images, which lie beside it."""
    images = pictures(COUNT)
    paths = [folder / f"{number:03}.png" for number in range(COUNT)]
    for image, path in zip(images, paths, strict=True):
        path.write_bytes(encoded(image))
    numbers = np.arange(COUNT)
    columns = {
        "path": np.array([str(path) for path in paths]),
        "id": numbers // 2,
        "camera": numbers % 3,
    }
    table = EmbeddingTable(model.embed(images, BATCHES[-1]), columns, model.fingerprint)
    return Gallery.create(str(folder / "gallery"), table, maker_of(model, address))


def toy_calibration(model: Model, interval: tuple[float, float]) -> Calibration:
    """Distances below the interval are one person's, of cameras 0 and 1."""
    return Calibration(
        threshold=sum(interval) / 2,
        interval=interval,
        false_match_rate=0.01,
        false_match_interval=(0.005, 0.02),
        missed_match_rate=0.1,
        missed_match_interval=(0.05, 0.2),
        distance="euclidean",
        identities=100,
        pairs=1000,
        same_pairs=100,
        cameras=("0", "1"),
        data="toys",
        data_fingerprint=None,
        model=model.fingerprint,
        seed=0,
    )


def calibrated(model: Model, calibration: Calibration) -> Model:
    """The same model with a threshold."""
    other = copy.copy(model)
    other.calibration = calibration
    return other
