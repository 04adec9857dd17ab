"""The forms of convolution, normalization and pooling: the one place that looks at the platform.

GPU and TPU get the stock operations. On a CPU, XLA transposes whole activations for a convolution's
weight gradient and scatters for max pooling's, so there the same mathematics is written as dots
(`convolution.py`) and comparisons (docs/design/choices.md has the measurements). Arrays are NHWC,
kernels HWIO.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from pmm_jax.model.convolution import cpu_conv, stock_conv

_forms: ContextVar[str | None] = ContextVar("forms", default=None)


@contextmanager
def forms_for(platform: str) -> Iterator[None]:
    """Trace for another platform than the one at hand: to lower a program for it, or read it."""
    token = _forms.set(platform)
    try:
        yield
    finally:
        _forms.reset(token)


def _on_cpu() -> bool:
    return (_forms.get() or jax.default_backend()) == "cpu"


def compiler_options() -> dict[str, str | bool]:
    """What a training step is compiled with: on a CPU, in an order that needs less memory.

    It takes a fifth off the scratch and no time; accelerators have schedulers of their own.
    """
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"} if _on_cpu() else {}


def conv(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolution with PyTorch's symmetric padding, (k - 1) / 2 on every side.

    Args:
        x: (N, H, W, C).
        kernel: (k, k, C, D), k odd.
        stride: 1 or 2, in both directions.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), D), of x's dtype.
    """
    return (cpu_conv if _on_cpu() else stock_conv)(x, kernel, stride)


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
    """Normalize each channel by the batch's own statistics, then scale and shift.

    Args:
        x: (..., C).
        scale: (C,).
        bias: (C,).
        eps: added to the variance.

    Returns:
        The result, of x's shape and dtype; the batch's mean (C,) and biased variance (C,).
    """
    if _on_cpu():
        return _batch_norm_own_gradient(x, scale, bias, eps)
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
    return (x * _channels(factor, x) + _channels(bias - mean * factor, x)).astype(x.dtype)


def _channels(vector: jax.Array, x: jax.Array) -> jax.Array:
    """A (C,) vector in x's rank: rank promotion is an error in this project."""
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _batch_norm_own_gradient(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    mean, variance = batch_moments(x)
    return normalize(x, mean, variance, scale, bias, eps), mean, variance


def _batch_norm_forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]:
    mean, variance = batch_moments(x)
    return (normalize(x, mean, variance, scale, bias, eps), mean, variance), (
        x,
        scale,
        mean,
        variance,
    )


def _batch_norm_backward(
    eps: float, saved: tuple[jax.Array, ...], grads: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    # The statistics' own gradients are left out: they feed the running averages alone.
    x, scale, mean, variance = saved
    grad = grads[0]
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    inverse = lax.rsqrt(variance + eps)
    grad_bias = grad.sum(axes, dtype=mean.dtype)
    grad_scale = ((grad * x).sum(axes, dtype=mean.dtype) - mean * grad_bias) * inverse
    # grad_x = scale / std * (grad - mean(grad) - normalized x * mean(grad * normalized x)),
    # gathered into one affine function of grad and x, so that nothing in between is stored.
    slope = scale * inverse
    of_x = slope * inverse * grad_scale / count
    constant = mean * of_x - slope * grad_bias / count
    grad_x = _channels(slope, x) * grad - _channels(of_x, x) * x + _channels(constant, x)
    return grad_x.astype(x.dtype), grad_scale, grad_bias


_batch_norm_own_gradient.defvjp(_batch_norm_forward, _batch_norm_backward)


def max_pool(x: jax.Array) -> jax.Array:
    """3x3 max pooling with stride 2 and one cell of padding.

    Args:
        x: (N, H, W, C), float.

    Returns:
        (N, ceil(H / 2), ceil(W / 2), C).
    """
    lowest = -jnp.inf
    if not _on_cpu() or x.shape[1] % 2 or x.shape[2] % 2:
        pad = ((0, 0), (1, 1), (1, 1), (0, 0))
        return lax.reduce_window(x, lowest, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pad)
    # Rows, then columns. Where two cells tie, both share the gradient; after a ReLU a tie is
    # nearly always between zeros, which pass no gradient on.
    x = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=lowest)
    x = jnp.maximum(jnp.maximum(x[:, 0:-1:2], x[:, 1::2]), x[:, 2::2])
    return jnp.maximum(jnp.maximum(x[:, :, 0:-1:2], x[:, :, 1::2]), x[:, :, 2::2])
