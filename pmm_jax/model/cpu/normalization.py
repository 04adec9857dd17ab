"""Batch normalization whose backward pass is one affine function of input and gradient."""

from functools import partial

import jax
from jax import lax

from pmm_jax.model import stock
from pmm_jax.model.stock import per_channel


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalization as `operations.batch_norm`."""
    return stock.batch_norm(x, scale, bias, eps)


def _forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]:
    y, mean, variance = stock.batch_norm(x, scale, bias, eps)
    return (y, mean, variance), (x, scale, mean, variance)


def _backward(
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
    grad_x = per_channel(slope, x) * grad - per_channel(of_x, x) * x + per_channel(constant, x)
    return grad_x.astype(x.dtype), grad_scale, grad_bias


batch_norm.defvjp(_forward, _backward)
