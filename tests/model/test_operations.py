"""Both platforms' forms against plain formulas: values and every gradient, in float64 and float32.

What runs on an accelerator is run here on whatever is at hand: the forms are chosen by name.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pmm_jax.model import operations, stock
from pmm_jax.runtime import override_platform

Operation = Callable[..., jax.Array]


@pytest.fixture(autouse=True)
def cpu_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator too, these are what is tested."""
    monkeypatch.setattr(operations, "on_cpu", lambda: True)


def random_array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def value_and_gradients(operation: Operation, *inputs: Any) -> list[np.ndarray]:
    """The result, and a random cotangent pulled back to every input."""

    def both(*inputs: jax.Array) -> tuple[jax.Array, ...]:
        value, pull = jax.vjp(operation, *inputs)
        cotangent = jnp.asarray(random_array(*value.shape, seed=9), value.dtype)
        return value, *pull(cotangent)

    return [np.asarray(array) for array in jax.jit(both)(*inputs)]


def assert_same(ours: Operation, stock: Operation, *inputs: np.ndarray) -> None:
    pairs = zip(
        value_and_gradients(ours, *inputs), value_and_gradients(stock, *inputs), strict=True
    )
    for found, expected in pairs:
        assert found.dtype == expected.dtype == np.float64
        assert found.shape == expected.shape
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def assert_close_in_float32(ours: Operation, stock: Operation, *inputs: np.ndarray) -> None:
    """Float32 against stock float64, within 1e-4 of each result's largest entry."""
    narrow = value_and_gradients(ours, *(array.astype(np.float32) for array in inputs))
    with jax.enable_x64(True):
        wide = value_and_gradients(
            stock, *(array.astype(np.float32).astype(float) for array in inputs)
        )
    for found, expected in zip(narrow, wide, strict=True):
        assert found.dtype == np.float32
        assert expected.dtype == np.float64
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


CONVOLUTIONS = [
    # kernel, stride, height, width
    (1, 1, 5, 4),
    (1, 2, 6, 4),
    (1, 2, 5, 7),
    (3, 1, 6, 4),
    (3, 1, 5, 3),
    (3, 1, 1, 2),
    (3, 2, 6, 4),
    (3, 2, 5, 7),
    (3, 2, 6, 5),
    (7, 2, 12, 8),
    (7, 2, 4, 2),
    (7, 2, 11, 8),
    (7, 2, 12, 9),
    (7, 1, 8, 6),
]


def stock_conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    pad = (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("size", "stride", "height", "width"), CONVOLUTIONS)
@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow), 8])
def test_convolution(size: int, stride: int, height: int, width: int, count: int) -> None:
    x, kernel = random_array(count, height, width, 3), random_array(size, size, 3, 5, seed=1)
    assert_same(
        partial(operations.conv, stride=stride), partial(stock_conv, stride=stride), x, kernel
    )


@pytest.mark.parametrize(
    ("size", "stride", "channels"), [(1, 1, 64), (1, 2, 64), (3, 1, 64), (3, 2, 64), (7, 2, 3)]
)
def test_convolution_in_float32(size: int, stride: int, channels: int) -> None:
    x, kernel = (
        random_array(8, 24, 8, channels),
        random_array(size, size, channels, 64, seed=1) / size,
    )
    assert_close_in_float32(
        partial(operations.conv, stride=stride), partial(stock_conv, stride=stride), x, kernel
    )


def naive_conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    n, h, w, _ = x.shape
    size, out = kernel.shape[0], kernel.shape[3]
    pad = (size - 1) // 2
    y = np.zeros((n, -(-h // stride), -(-w // stride), out))
    for place in np.ndindex(y.shape):
        b, i, j, d = place
        for u in range(size):
            for v in range(size):
                row, column = i * stride + u - pad, j * stride + v - pad
                if 0 <= row < h and 0 <= column < w:
                    y[place] += x[b, row, column] @ kernel[u, v, :, d]
    return y


def on_platform(monkeypatch: pytest.MonkeyPatch, on_cpu: bool) -> None:
    monkeypatch.setattr(operations, "on_cpu", lambda: on_cpu)


BOTH_FORMS = pytest.mark.parametrize("on_cpu", [True, False])


@pytest.mark.usefixtures("x64")
@BOTH_FORMS
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_both_forms_of_convolution_against_loops(
    monkeypatch: pytest.MonkeyPatch, on_cpu: bool, size: int, stride: int
) -> None:
    on_platform(monkeypatch, on_cpu)
    x, kernel = random_array(2, 6, 4, 2), random_array(size, size, 2, 3, seed=1)
    y = operations.conv(jnp.asarray(x), jnp.asarray(kernel), stride)
    np.testing.assert_allclose(y, naive_conv(x, kernel, stride), rtol=1e-10, atol=1e-12)


EPS = 1e-5


def stock_batch_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    axes = tuple(range(x.ndim - 1))
    centered = x - x.mean(axes, keepdims=True)
    variance = jnp.square(centered).mean(axes, keepdims=True)
    shape = (1,) * len(axes) + (-1,)
    return centered / jnp.sqrt(variance + EPS) * scale.reshape(shape) + bias.reshape(shape)


def our_batch_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    return operations.batch_norm(x, scale, bias, EPS)[0]


def batch_norm_inputs(*shape: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = 2 * random_array(*shape) + random_array(*(1,) * (len(shape) - 1), shape[-1], seed=1)
    return x, random_array(shape[-1], seed=2), random_array(shape[-1], seed=3)


@pytest.mark.usefixtures("x64")
@BOTH_FORMS
@pytest.mark.parametrize("shape", [(8, 6), (3, 5, 2, 4), (2, 1, 1, 3)])
def test_batch_norm(monkeypatch: pytest.MonkeyPatch, on_cpu: bool, shape: tuple[int, ...]) -> None:
    on_platform(monkeypatch, on_cpu)
    assert_same(our_batch_norm, stock_batch_norm, *batch_norm_inputs(*shape))


@BOTH_FORMS
def test_batch_norm_in_float32(monkeypatch: pytest.MonkeyPatch, on_cpu: bool) -> None:
    on_platform(monkeypatch, on_cpu)
    assert_close_in_float32(our_batch_norm, stock_batch_norm, *batch_norm_inputs(8, 24, 8, 64))


@pytest.mark.usefixtures("x64")
@BOTH_FORMS
@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (3, 5), (1, 1, 1, 5)])
def test_batch_norm_returns_mean_and_biased_variance(
    monkeypatch: pytest.MonkeyPatch, on_cpu: bool, shape: tuple[int, ...]
) -> None:
    on_platform(monkeypatch, on_cpu)
    x = 3 * random_array(*shape) + 1
    y, mean, variance = operations.batch_norm(jnp.asarray(x), jnp.ones(5), jnp.zeros(5), EPS)
    flat = x.reshape(-1, 5)
    count = len(flat)
    expected = flat.sum(0) / count
    biased = ((flat - expected[None]) ** 2).sum(0) / count
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    np.testing.assert_allclose(variance, biased, rtol=1e-12, atol=1e-12)
    normed = (flat - expected[None]) / np.sqrt(biased + EPS)[None]
    np.testing.assert_allclose(np.reshape(y, (-1, 5)), normed, rtol=1e-9, atol=1e-9)
    for found, again in zip((mean, variance), stock.batch_moments(jnp.asarray(x)), strict=True):
        np.testing.assert_array_equal(found, again)


@BOTH_FORMS
def test_a_constant_channel_has_no_negative_variance(
    monkeypatch: pytest.MonkeyPatch, on_cpu: bool
) -> None:
    on_platform(monkeypatch, on_cpu)
    x = jnp.full((7, 3, 3, 2), 1234.567, jnp.float32)
    y, _, variance = operations.batch_norm(x, jnp.ones(2), jnp.zeros(2), EPS)
    assert (np.asarray(variance) >= 0).all()
    assert np.isfinite(np.asarray(y)).all()


@pytest.mark.usefixtures("x64")
def test_normalize_against_its_formula() -> None:
    x, mean, scale, bias = (
        random_array(3, 2, 2, 4),
        random_array(4, seed=1),
        random_array(4, seed=2),
        random_array(4, seed=3),
    )
    variance = random_array(4, seed=4) ** 2
    y = jax.jit(stock.normalize)(x, mean, variance, scale, bias, EPS)
    for n, i, j, c in np.ndindex(x.shape):
        expected = (x[n, i, j, c] - mean[c]) / np.sqrt(variance[c] + EPS) * scale[c] + bias[c]
        np.testing.assert_allclose(y[n, i, j, c], expected, rtol=1e-11)


def stock_max_pool(x: jax.Array) -> jax.Array:
    pad = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pad)


@BOTH_FORMS
def test_max_pool_in_float32(monkeypatch: pytest.MonkeyPatch, on_cpu: bool) -> None:
    on_platform(monkeypatch, on_cpu)
    assert_close_in_float32(operations.max_pool, stock_max_pool, random_array(8, 24, 8, 64))


@pytest.mark.usefixtures("x64")
@BOTH_FORMS
@pytest.mark.parametrize("size", [(6, 4), (8, 2), (5, 4), (6, 3), (5, 3), (2, 2)])
def test_max_pool(monkeypatch: pytest.MonkeyPatch, on_cpu: bool, size: tuple[int, int]) -> None:
    on_platform(monkeypatch, on_cpu)
    x = random_array(2, *size, 3) - 5  # all below 0: padding must not win
    assert_same(operations.max_pool, stock_max_pool, x)
    pooled = np.asarray(operations.max_pool(jnp.asarray(x)))
    for n, i, j, c in np.ndindex(pooled.shape):
        window = x[n, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2, c]
        assert pooled[n, i, j, c] == window.max()


@BOTH_FORMS
@pytest.mark.parametrize("size", [(6, 4), (5, 3)])
def test_bfloat16_stays_bfloat16_and_close(
    monkeypatch: pytest.MonkeyPatch, on_cpu: bool, size: tuple[int, int]
) -> None:
    on_platform(monkeypatch, on_cpu)

    def chain(x: jax.Array, kernel: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        y = operations.conv(x, kernel.astype(x.dtype), 1)
        y = operations.batch_norm(y, scale, bias, EPS)[0]
        return operations.max_pool(operations.conv(y, kernel.astype(y.dtype), 2))

    wide = [
        random_array(4, *size, 3),
        random_array(3, 3, 3, 3, seed=1) / 5,
        np.ones(3),
        np.zeros(3),
    ]
    narrow = [jnp.asarray(wide[0], jnp.bfloat16), *(jnp.asarray(a, jnp.float32) for a in wide[1:])]
    exact = value_and_gradients(chain, *(np.float32(array) for array in wide))
    rough = value_and_gradients(chain, *narrow)
    assert [str(array.dtype) for array in rough] == ["bfloat16", "bfloat16"] + ["float32"] * 3
    for found, expected in zip(rough, exact, strict=True):
        error = np.linalg.norm(found.astype(np.float32) - expected)
        assert error < 0.06 * np.linalg.norm(expected)


def test_each_platform_gets_its_forms_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name for `override_platform`, else that of the machine at hand."""
    monkeypatch.undo()
    used, plain = [], stock.conv

    def form(name: str) -> Callable[..., jax.Array]:
        def conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
            used.append(name)
            return plain(x, kernel, stride)

        return conv

    monkeypatch.setattr(operations.cpu, "conv", form("cpu"))
    monkeypatch.setattr(stock, "conv", form("stock"))
    x, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
    for platform, name in (("cpu", "cpu"), ("gpu", "stock"), ("cuda", "stock"), ("tpu", "stock")):
        with override_platform(platform):
            operations.conv(x, kernel)
            assert bool(operations.compiler_options()) == (platform == "cpu")
        assert used.pop() == name
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        operations.conv(x, kernel)
        assert used.pop() == name
