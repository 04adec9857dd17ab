"""Encoded images of any kind to uint8 at the target size."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data.decode import decode, decode_split
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import open_split
from tests.data.market_set import draw


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def test_decode_is_pil_s_bilinear_resize() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8))
    decoded = decode(encode(image), (48, 16))
    assert (decoded.shape, decoded.dtype) == ((48, 16, 3), np.uint8)
    np.testing.assert_array_equal(decoded, image.resize((16, 48), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_decode_of_other_modes(mode: str) -> None:
    """A gray ramp reads the same in every mode, at its own size."""
    ramp = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (8, 1))
    if mode == "1":
        ramp = np.where(ramp < 128, np.uint8(0), np.uint8(255))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
        assert image.mode == mode
    else:
        image = Image.fromarray(ramp).convert(mode)
    expected = np.repeat(ramp[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode(encode(image), ramp.shape), expected)


def test_of_16_bits_the_upper_8_are_kept() -> None:
    upper = np.random.default_rng(0).integers(0, 256, (8, 4))
    values = (256 * upper + np.random.default_rng(1).integers(0, 256, (8, 4))).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="PNG")
    found = decode(stream.getvalue(), (8, 4))
    np.testing.assert_array_equal(found, np.repeat(upper[..., None], 3, axis=2))


def test_decode_of_a_palette_with_transparency() -> None:
    image = Image.fromarray(np.full((4, 4), 77, np.uint8)).convert("P")
    image.info["transparency"] = bytes(range(256))
    assert decode(encode(image), (4, 4)).tolist() == np.full((4, 4, 3), 77).tolist()


@pytest.mark.parametrize("kind", ["BMP", "WEBP", "JPEG"])
def test_decode_of_other_formats(kind: str) -> None:
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    assert np.abs(decode(encode(image, kind), (8, 8)).astype(int) - [200, 100, 50]).max() < 6


def test_decode_split_fills_in_order_and_reports(market: DataConfig) -> None:
    for i in range(150):
        draw(Path(market.root) / f"query/0001_c1s1_{i:06d}_09.jpg", i)
    prepare(market)
    split = open_split(market, "query")
    finished: list[int] = []
    images = decode_split(split, (24, 8), workers=3, progress=finished.append)
    assert (images.shape, images.dtype) == ((151, 24, 8, 3), np.uint8)
    assert sum(finished) == 151
    for i in range(len(split)):
        np.testing.assert_array_equal(images[i], decode(split.read(i), (24, 8)))
