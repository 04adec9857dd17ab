"""Layers with PyTorch's conventions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from pmm_jax.model.layers import BatchNorm, Conv, Linear


def random_array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("stride", "shape"), [(1, (2, 5, 4, 6)), (2, (2, 3, 2, 6))])
def test_conv_shapes_and_names(stride: int, shape: tuple[int, ...]) -> None:
    y, variables = Conv(6, 3, stride).init_with_output(jax.random.key(0), random_array(2, 5, 4, 3))
    assert y.shape == shape
    assert jax.tree.map(jnp.shape, nn.unbox(variables)) == {"params": {"kernel": (3, 3, 3, 6)}}


def test_linear_against_loops() -> None:
    x, kernel, bias = random_array(3, 4), random_array(4, 2, seed=1), random_array(2, seed=2)
    y: Any = Linear(2).apply({"params": {"kernel": kernel, "bias": bias}}, x)
    for n in range(3):
        for d in range(2):
            expected = sum(float(x[n, c]) * float(kernel[c, d]) for c in range(4)) + float(bias[d])
            np.testing.assert_allclose(y[n, d], expected, rtol=1e-5, atol=1e-6)


def variables() -> dict[str, dict[str, np.ndarray]]:
    return {
        "params": {"scale": random_array(3, seed=1), "bias": random_array(3, seed=2)},
        "batch_stats": {"mean": random_array(3, seed=3), "var": 1 + random_array(3, seed=4) ** 2},
    }


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 2, 3)])
def test_training_normalizes_by_the_batch_and_keeps_the_unbiased_variance(
    shape: tuple[int, ...],
) -> None:
    x, given = random_array(*shape), variables()
    y, updates = BatchNorm().apply(given, jnp.asarray(x), True, mutable=["batch_stats"])
    flat = x.reshape(-1, 3).astype(np.float64)
    for c in range(3):
        channel = flat[:, c]
        mean = channel.sum() / len(channel)
        squares = ((channel - mean) ** 2).sum()
        scale, bias = given["params"]["scale"][c], given["params"]["bias"][c]
        expected = (channel - mean) / np.sqrt(squares / len(channel) + 1e-5) * scale + bias
        np.testing.assert_allclose(
            np.asarray(y).reshape(-1, 3)[:, c], expected, rtol=1e-4, atol=1e-5
        )
        old, new = given["batch_stats"], updates["batch_stats"]
        np.testing.assert_allclose(new["mean"][c], 0.9 * old["mean"][c] + 0.1 * mean, rtol=1e-5)
        unbiased = squares / (len(channel) - 1)
        np.testing.assert_allclose(new["var"][c], 0.9 * old["var"][c] + 0.1 * unbiased, rtol=1e-5)


def test_testing_normalizes_by_the_running_statistics_and_moves_nothing() -> None:
    x, given = random_array(2, 3, 2, 3), variables()
    y, updates = BatchNorm().apply(given, jnp.asarray(x), False, mutable=["batch_stats"])
    stats, params = given["batch_stats"], given["params"]
    for n, i, j, c in np.ndindex(x.shape):
        centered = (x[n, i, j, c] - stats["mean"][c]) / np.sqrt(stats["var"][c] + 1e-5)
        expected = centered * params["scale"][c] + params["bias"][c]
        np.testing.assert_allclose(y[n, i, j, c], expected, rtol=1e-4, atol=1e-5)
    for name, value in updates.get("batch_stats", stats).items():
        np.testing.assert_array_equal(value, stats[name])


def test_initializing_does_not_move_the_statistics() -> None:
    made = nn.unbox(BatchNorm().init(jax.random.key(0), 5 + random_array(4, 3), True))
    np.testing.assert_array_equal(made["batch_stats"]["mean"], np.zeros(3))
    np.testing.assert_array_equal(made["batch_stats"]["var"], np.ones(3))
