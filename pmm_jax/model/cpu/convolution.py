"""Convolution as dots. Arrays are NHWC, kernels HWIO."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from pmm_jax.model import stock
from pmm_jax.model.stock import LAYOUT


def conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`stock.conv` as dots, which XLA's CPU backend multiplies faster."""
    if kernel.shape[0] == 1:
        return _pointwise_conv(x[:, ::stride, ::stride], kernel)
    if kernel.shape[0] == 7 and stride == 2 and x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0:
        return _stem_conv(x, kernel)
    return _tap_conv(x, kernel, stride)


def _pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    n, h, w, c = x.shape
    return _product(x.reshape(-1, c), kernel.reshape(c, -1)).reshape(n, h, w, -1)


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """(N, C) times (C, D), whose weight gradient is a `_weight_product`."""
    return x @ kernel


def _product_backward(
    saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return grad @ kernel.T, _weight_product(x, grad)


_product.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _product_backward)


def _weight_product(x: jax.Array, grad: jax.Array) -> jax.Array:
    """The product of x (N, C) transposed and grad (N, D), with the narrower of the two on the left.

    XLA's dot over the rows of both is up to 2.6 times as fast when it writes a wide result as when
    it writes a tall one. The barrier keeps XLA from turning the product back.
    """
    if x.shape[1] <= grad.shape[1]:
        return x.T @ grad
    return lax.optimization_barrier(grad.T @ x).T


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
    return lax.conv_general_dilated(cells, taps, (1, 1), [(2, 1), (2, 1)], dimension_numbers=LAYOUT)


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
    """The stock convolution, whose weight gradient is one dot for each row of the kernel's taps."""
    return stock.conv(x, kernel, stride)


def _tap_conv_forward(
    x: jax.Array, kernel: jax.Array, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return stock.conv(x, kernel, stride), (x, kernel)


def _tap_conv_backward(
    stride: int, saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    (grad_x,) = jax.vjp(lambda x: stock.conv(x, kernel, stride), x)[1](grad)
    k = kernel.shape[0]
    rows = _rows_of_taps(x, grad, k) if stride == 1 else _rows_of_strided_taps(x, grad, k, stride)
    return grad_x, jnp.stack(rows).reshape(kernel.shape)


def _rows_of_taps(x: jax.Array, grad: jax.Array, k: int) -> list[jax.Array]:
    """The weight gradient of a stride-1 convolution, (k, C, D) for each row of taps.

    A pixel of x meets under tap j the gradient j - pad columns to its left. So the gradient is laid
    side by side in its k positions once, and x is copied only for the rows.
    """
    _, h, _, out = grad.shape
    pad, c = (k - 1) // 2, x.shape[3]
    sides = [_moved_left(grad, pad - j) for j in range(k)]
    wide = jnp.concatenate(sides, 3).reshape(-1, k * out)
    padded = jnp.pad(x, ((0, 0), (pad, pad), (0, 0), (0, 0)))
    products = (_weight_product(padded[:, i : i + h].reshape(-1, c), wide) for i in range(k))
    return [product.reshape(c, k, out).transpose(1, 0, 2) for product in products]


def _moved_left(x: jax.Array, columns: int) -> jax.Array:
    """Shift x (N, H, W, C) so many columns to the left, right if negative; zeros move in."""
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, ((0, 0, 0), (0, 0, 0), (-columns, columns, 0), (0, 0, 0)))


def _rows_of_strided_taps(x: jax.Array, grad: jax.Array, k: int, stride: int) -> list[jax.Array]:
    """Weight gradient for any stride, (k * C, D) for each row of taps, of stacked columns of x."""
    _, h, w, out = grad.shape
    pad, c = (k - 1) // 2, x.shape[3]
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    flat_grad = grad.reshape(-1, out)

    def taps(first: int, count: int) -> slice:
        return slice(first, first + stride * (count - 1) + 1, stride)

    rows = []
    for i in range(k):
        row = [padded[:, taps(i, h), taps(j, w)].reshape(-1, c) for j in range(k)]
        rows.append(_weight_product(jnp.concatenate(row, 1), flat_grad))
    return rows


_tap_conv.defvjp(_tap_conv_forward, _tap_conv_backward)
