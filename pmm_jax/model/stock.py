"""Convolution, normalization and pooling as XLA has them: what GPU and TPU get.

Arrays are NHWC, kernels HWIO.
"""

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
"""`dimension_numbers` of a convolution."""


def conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """XLA's own, with padding (k - 1) / 2 on every side: (N, H, W, C) * (k, k, C, D)."""
    pad = (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=LAYOUT
    )


def batch_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of each channel over all other axes, in float32 or wider.

    Args:
        x: (..., C).

    Returns:
        mean (C,), variance (C,).
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    # One pass, as Flax does it: the map is read once, and both reductions fuse. What cancels is
    # below the noise of a batch while a channel's mean stays within a few deviations of 0.
    return mean, jnp.maximum(jnp.square(x).mean(axes) - jnp.square(mean), 0)


def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalization as `operations.batch_norm`, with JAX's own gradient."""
    mean, variance = batch_moments(x)
    return normalize(x, mean, variance, scale, bias, eps), mean, variance


def normalize(
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    eps: float,
) -> jax.Array:
    """(x - mean) / sqrt(variance + eps) * scale + bias, as one multiply and one add.

    x is (..., C), all others (C,); the result has x's dtype.
    """
    factor = scale * lax.rsqrt(variance + eps)
    return (x * per_channel(factor, x) + per_channel(bias - mean * factor, x)).astype(x.dtype)


def per_channel(vector: jax.Array, x: jax.Array) -> jax.Array:
    """A (C,) vector in x's rank: rank promotion is an error in this project."""
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))


def max_pool(x: jax.Array) -> jax.Array:
    """3x3 windows with stride 2 and one cell of padding."""
    pad = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pad)
