"""Convolution, normalization and pooling: a CPU's own forms, elsewhere the stock operations.

Arrays are NHWC, kernels HWIO.
"""

import jax

from pmm_jax.model import cpu, stock
from pmm_jax.runtime import on_cpu


def compiler_options() -> dict[str, str | bool]:
    """Compiler options of a training step; none on accelerators."""
    return cpu.COMPILER_OPTIONS if on_cpu() else {}


def conv(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolution with PyTorch's symmetric padding, (k - 1) / 2 on every side.

    Args:
        x: (N, H, W, C).
        kernel: (k, k, C, D), k odd.
        stride: 1 or 2, in both directions.

    Returns:
        (N, ceil(H / stride), ceil(W / stride), D), of x's dtype.
    """
    return (cpu if on_cpu() else stock).conv(x, kernel, stride)


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
    return (cpu if on_cpu() else stock).batch_norm(x, scale, bias, eps)


def max_pool(x: jax.Array) -> jax.Array:
    """3x3 max pooling with stride 2 and one cell of padding.

    Args:
        x: (N, H, W, C), float.

    Returns:
        (N, ceil(H / 2), ceil(W / 2), C).
    """
    return (cpu if on_cpu() else stock).max_pool(x)
