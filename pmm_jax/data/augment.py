"""Augmentation on the device: crop, flip, jitter, normalize, erase; one jitted function."""

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.config import DataConfig

# Mean and standard deviation of ImageNet's channels, in the 0 to 1 range.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


# Weight of red, green and blue in brightness (ITU-R 601, as PIL's and torchvision's gray).
GRAY = np.array([0.299, 0.587, 0.114], np.float32)


def normalize(images: jax.Array) -> jax.Array:
    """(N, H, W, 3) RGB, 0 to 255, to float32, each channel with ImageNet's mean 0, deviation 1."""
    scale, shift = 1 / (255 * STD), -MEAN / STD
    return images.astype(jnp.float32) * scale[None, None, None] + shift[None, None, None]


def augment(key: jax.Array, images: jax.Array, data: DataConfig) -> jax.Array:
    """Random crop of the padded image, flip, color jitter, normalization, one erased square.

    The square is erased after normalization, to 0, as in the release.

    Args:
        key: random key.
        images: (N, H, W, 3) uint8.
        data: the probabilities and sizes.

    Returns:
        (N, H, W, 3) float32, normalized.
    """
    crop_key, flip_key, erase_key = jax.random.split(key, 3)
    if data.crop_padding:
        images = _pad_and_crop(crop_key, images, data.crop_padding)
    flipped = jax.random.bernoulli(flip_key, float(data.flip_probability), images.shape[:1])
    images = jnp.where(flipped[:, None, None, None], images[:, :, ::-1], images)
    if data.color_jitter:
        # A key of its own, so that the other samples are what they are without jitter.
        images = jitter_colors(jax.random.fold_in(key, 0), images, data.color_jitter)
    square = _square(erase_key, images.shape, data.erase_size, data.erase_probability)
    return jnp.where(square[..., None], 0.0, normalize(images))


def _pad_and_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    n, h, w, c = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(key, (n, 2), 0, 2 * padding + 1)

    def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (h, w, c))

    return jax.vmap(crop)(padded, corners)


def jitter_colors(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """Brightness, contrast and saturation of each image times factors from 1 - to 1 + strength.

    torchvision's ColorJitter in a fixed order and without hue: scale towards black, then towards
    the image's mean gray, then every pixel towards its own gray; clipped after each.

    Args:
        key: random key.
        images: (N, H, W, 3) uint8.
        strength: 0 to 1.

    Returns:
        (N, H, W, 3) float32, from 0 to 255.
    """
    shape = (3, images.shape[0], 1, 1, 1)
    factors = jax.random.uniform(key, shape, minval=1 - strength, maxval=1 + strength)
    brightness, contrast, saturation = factors
    pixels = jnp.clip(images.astype(jnp.float32) * brightness, 0, 255)
    mean = _gray(pixels).mean((1, 2), keepdims=True)
    pixels = jnp.clip(mean + (pixels - mean) * contrast, 0, 255)
    gray = _gray(pixels)
    return jnp.clip(gray + (pixels - gray) * saturation, 0, 255)


def _gray(pixels: jax.Array) -> jax.Array:
    return (pixels * GRAY[None, None, None]).sum(-1, keepdims=True)


def _square(key: jax.Array, shape: tuple[int, ...], size: int, probability: float) -> jax.Array:
    """(N, H, W) bool: one square in a uniform place, with that probability, of each image."""
    n, h, w, _ = shape
    chance_key, top_key, left_key = jax.random.split(key, 3)
    chosen = jax.random.bernoulli(chance_key, float(probability), (n, 1, 1))
    top = jax.random.randint(top_key, (n, 1, 1), 0, h - size + 1)
    left = jax.random.randint(left_key, (n, 1, 1), 0, w - size + 1)
    row, column = jnp.arange(h)[None, :, None], jnp.arange(w)[None, None, :]
    inside_rows = (row >= top) & (row < top + size)
    return chosen & inside_rows & (column >= left) & (column < left + size)
