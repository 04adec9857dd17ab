"""The forms of convolution, normalisation and pooling: the one place that looks at the platform.

GPU and TPU get the stock operations. On a CPU, XLA transposes whole activations for a convolution's
weight gradient and scatters for max pooling's, so there the same mathematics is written as dots and
comparisons (docs/architecture.md has the measurements). Arrays are NHWC, kernels HWIO.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")


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


def conv(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolution with PyTorch's symmetric padding, (k - 1) / 2 on every side.

    Args:
        x: (N, H, W, C).
        kernel: (k, k, C, D), k odd.
        stride: 1 or 2, in both directions.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), D), of x's dtype.
    """
    if not _on_cpu():
        return _stock_conv(x, kernel, stride)
    if kernel.shape[0] == 1:
        return _pointwise_conv(x[:, ::stride, ::stride], kernel)
    if kernel.shape[0] == 7 and stride == 2 and x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0:
        return _stem_conv(x, kernel)
    return _tap_conv(x, kernel, stride)


def _stock_conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    pad = (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=_LAYOUT
    )


def _pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    n, h, w, c = x.shape
    return (x.reshape(-1, c) @ kernel.reshape(c, -1)).reshape(n, h, w, -1)


def _stem_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The 7x7 stride-2 stem as a 4x4 stride-1 convolution over cells of 2x2 pixels."""
    n, h, w, c = x.shape
    cells = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    cells = cells.reshape(n, h // 2, w // 2, 4 * c)
    # Output row i reads pixels 2i - 3 to 2i + 3, that is cells i - 2 to i + 1: the first row of
    # the first cell meets a row of zeros.
    taps = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    taps = taps.reshape(4, 2, 4, 2, c, -1).transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 4 * c, -1)
    return _cell_conv(cells, taps)


def _stock_cell_conv(cells: jax.Array, taps: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        cells, taps, (1, 1), [(2, 1), (2, 1)], dimension_numbers=_LAYOUT
    )


@jax.custom_vjp
def _cell_conv(cells: jax.Array, taps: jax.Array) -> jax.Array:
    """The stem's convolution, whose weight gradient is summed over parts of the batch.

    XLA gives that one operation a single thread and most of a step's tail; parts run side by side.
    """
    return _stock_cell_conv(cells, taps)


def _cell_conv_forward(
    cells: jax.Array, taps: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _stock_cell_conv(cells, taps), (cells, taps)


def _cell_conv_backward(
    saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    cells, taps = saved
    # Dropped by XLA where nobody asks for the images' gradient.
    (grad_cells,) = jax.vjp(lambda cells: _stock_cell_conv(cells, taps), cells)[1](grad)
    count = cells.shape[0]
    parts = next(parts for parts in (4, 2, 1) if count % parts == 0)
    # Every parts-th image, not a run of them: a batch split over devices stays where it is.
    cells = cells.reshape(count // parts, parts, *cells.shape[1:])
    grad = grad.reshape(count // parts, parts, *grad.shape[1:])

    def part(i: int) -> jax.Array:
        return jax.vjp(lambda taps: _stock_cell_conv(cells[:, i], taps), taps)[1](grad[:, i])[0]

    grad_taps = part(0)
    for i in range(1, parts):
        grad_taps += part(i)
    return grad_cells, grad_taps


_cell_conv.defvjp(_cell_conv_forward, _cell_conv_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _tap_conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The stock convolution, whose weight gradient is one dot for each tap of the kernel."""
    return _stock_conv(x, kernel, stride)


def _tap_conv_forward(
    x: jax.Array, kernel: jax.Array, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _stock_conv(x, kernel, stride), (x, kernel)


def _tap_conv_backward(
    stride: int, saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    (grad_x,) = jax.vjp(lambda x: _stock_conv(x, kernel, stride), x)[1](grad)
    k, pad = kernel.shape[0], (kernel.shape[0] - 1) // 2
    _, h, w, out = grad.shape
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    flat_grad = grad.reshape(-1, out)
    taps = []
    for i in range(k):
        for j in range(k):
            rows = slice(i, i + stride * (h - 1) + 1, stride)
            columns = slice(j, j + stride * (w - 1) + 1, stride)
            taps.append(padded[:, rows, columns].reshape(-1, x.shape[3]).T @ flat_grad)
    return grad_x, jnp.stack(taps).reshape(kernel.shape)


_tap_conv.defvjp(_tap_conv_forward, _tap_conv_backward)


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
    """Normalise each channel by the batch's own statistics, then scale and shift.

    Args:
        x: (..., C).
        scale, bias: (C,).
        eps: added to the variance.

    Returns:
        The result, of x's shape and dtype; the batch's mean (C,) and biased variance (C,).
    """
    if _on_cpu():
        return _batch_norm_own_gradient(x, scale, bias, eps)
    mean, variance = batch_moments(x)
    return normalise(x, mean, variance, scale, bias, eps), mean, variance


def normalise(
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
    return normalise(x, mean, variance, scale, bias, eps), mean, variance


def _batch_norm_forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]:
    mean, variance = batch_moments(x)
    return (normalise(x, mean, variance, scale, bias, eps), mean, variance), (
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
    # grad_x = scale / std * (grad - mean(grad) - normalised x * mean(grad * normalised x)),
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
