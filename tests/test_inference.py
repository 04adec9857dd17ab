"""Embeddings averaged with those of mirror images."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax import inference
from pmm_jax.data.augment import normalize
from pmm_jax.inference import make_embed


def pixels_of(network: Any, params: Any, stats: Any, images: jax.Array) -> jax.Array:
    """An embedding that knows where each pixel is: the pixels themselves."""
    return images.reshape(len(images), -1)


def test_the_average_is_with_the_image_whose_left_is_the_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "embed", pixels_of)
    network: Any = None
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 4, 3), dtype=np.uint8)
    mirrored = jnp.array([[row[::-1] for row in image] for image in pixels])
    images = jnp.asarray(pixels)
    plain = make_embed(network)({}, {}, images)
    np.testing.assert_allclose(plain, np.reshape(normalize(images), (3, -1)), atol=1e-6)
    averaged = make_embed(network, flip_average=True)({}, {}, images)
    expected = (normalize(images) + normalize(mirrored)) / 2
    np.testing.assert_allclose(averaged, np.reshape(expected, (3, -1)), atol=1e-6)
    assert not np.allclose(averaged, plain, atol=0.1)
