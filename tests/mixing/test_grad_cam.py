"""Grad-CAM against its formula, and against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.mixing import grad_cam

N, H, W, C, IDS = 3, 4, 2, 5, 6
LABELS = (4, 0, 4)


def random_array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def naive_cam(weights: np.ndarray, feature_map: np.ndarray) -> np.ndarray:
    cam = np.zeros((N, H, W))
    for n in range(N):
        for i in range(H):
            for j in range(W):
                total = 0.0
                for c in range(C):
                    total += weights[n, c] * feature_map[n, i, j, c]
                cam[n, i, j] = max(total, 0.0)
    return cam


@pytest.mark.usefixtures("x64")
def test_average_pooling_and_a_linear_layer_have_a_closed_form() -> None:
    feature_map, kernel = random_array(N, H, W, C), random_array(C, IDS, seed=1)
    # d logit / d map is kernel / (H W) in every cell, and so is its mean.
    weights = np.stack([kernel[:, label] / (H * W) for label in LABELS])
    expected = naive_cam(weights, feature_map)
    assert (expected == 0).any()
    assert (expected > 0).any()
    cam = grad_cam(lambda x: x.mean((1, 2)) @ kernel, jnp.asarray(feature_map), jnp.array(LABELS))
    np.testing.assert_allclose(cam, expected, rtol=1e-12, atol=1e-14)


def head_numpy(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Max pooling, batch normalization, tanh, linear: images depend on each other."""
    pooled = x.max((1, 2))
    centered = pooled - pooled.mean(0, keepdims=True)
    return np.tanh(centered / np.sqrt((centered**2).mean(0, keepdims=True) + 1e-5)) @ kernel


@pytest.mark.usefixtures("x64")
def test_a_head_with_batch_statistics_against_finite_differences() -> None:
    feature_map, kernel = random_array(N, H, W, C, seed=2), random_array(C, IDS, seed=3)

    def score(x: np.ndarray) -> float:
        logits = head_numpy(x, kernel)
        return sum(logits[n, LABELS[n]] for n in range(N))

    gradient, step = np.zeros_like(feature_map), 1e-6
    for place in np.ndindex(feature_map.shape):
        up, down = feature_map.copy(), feature_map.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (score(up) - score(down)) / (2 * step)
    expected = naive_cam(gradient.mean((1, 2)), feature_map)

    def head(x: jax.Array) -> jax.Array:
        pooled = x.max((1, 2))
        centered = pooled - pooled.mean(0, keepdims=True)
        scaled = centered / jnp.sqrt(jnp.square(centered).mean(0, keepdims=True) + 1e-5)
        return jnp.tanh(scaled) @ kernel

    cam = grad_cam(head, jnp.asarray(feature_map), jnp.array(LABELS))
    assert float(cam.max()) > 0.01
    np.testing.assert_allclose(cam, expected, rtol=1e-6, atol=1e-8)


def test_no_gradient_flows_through_the_cam() -> None:
    kernel = jnp.asarray(random_array(C, IDS), jnp.float32)

    def loss(feature_map: jax.Array, kernel: jax.Array) -> jax.Array:
        return grad_cam(
            lambda x: jnp.square(x).mean((1, 2)) @ kernel, feature_map, jnp.array(LABELS)
        ).sum()

    feature_map = jnp.asarray(random_array(N, H, W, C, seed=1), jnp.float32)
    assert float(loss(feature_map, kernel)) > 0
    # Neither to the map nor to parameters that the head closes over.
    for gradient in jax.grad(loss, (0, 1))(feature_map, kernel):
        assert not np.asarray(gradient).any()


def test_only_the_head_is_differentiated() -> None:
    @jax.custom_vjp
    def trunk(x: jax.Array) -> jax.Array:
        return jnp.sin(x)

    def backward(_: None, grad: jax.Array) -> tuple[jax.Array]:
        raise AssertionError("the trunk's backward pass was entered")

    trunk.defvjp(lambda x: (jnp.sin(x), None), backward)
    kernel = jnp.asarray(random_array(C, IDS), jnp.float32)
    entered = []

    def head(x: jax.Array) -> jax.Array:
        entered.append(x.shape)
        return x.mean((1, 2)) @ kernel

    def loss(x: jax.Array) -> jax.Array:
        return grad_cam(head, trunk(x), jnp.array(LABELS)).sum()

    x = jnp.asarray(random_array(N, H, W, C, seed=1), jnp.float32)
    with pytest.raises(AssertionError, match="backward pass was entered"):
        jax.grad(lambda x: trunk(x).sum())(x)
    jax.grad(loss)(x)
    assert entered == [(N, H, W, C)]


def test_bfloat16_maps_give_float32_cam() -> None:
    feature_map = jnp.asarray(random_array(N, H, W, C), jnp.bfloat16)
    cam = grad_cam(
        lambda x: x.mean((1, 2)) @ jnp.ones((C, IDS), x.dtype), feature_map, jnp.array(LABELS)
    )
    assert cam.dtype == jnp.float32
