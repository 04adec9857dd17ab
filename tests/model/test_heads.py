"""A stage head against its formula."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.model.heads import GeneralizedMean, StageHead

N, H, W, C, EMBEDDING, IDS = 5, 3, 2, 6, 4, 7
Pooling = Literal["average", "max"]


def random_array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def variables() -> dict[str, Any]:
    return {
        "params": {
            "reduction": {
                "kernel": random_array(C, EMBEDDING, seed=1),
                "bias": random_array(EMBEDDING, seed=2),
            },
            "bn": {
                "scale": random_array(EMBEDDING, seed=3),
                "bias": random_array(EMBEDDING, seed=4),
            },
            "classifier": {
                "kernel": random_array(EMBEDDING, IDS, seed=5),
                "bias": random_array(IDS, seed=6),
            },
        },
        "batch_stats": {
            "bn": {
                "mean": random_array(EMBEDDING, seed=7),
                "var": random_array(EMBEDDING, seed=8) ** 2,
            }
        },
    }


def naive_head(x: np.ndarray, pooling: Pooling, train: bool) -> tuple[np.ndarray, np.ndarray]:
    params, stats = variables()["params"], variables()["batch_stats"]["bn"]
    pooled = np.zeros((N, C))
    for n in range(N):
        for c in range(C):
            cells = [x[n, i, j, c] for i in range(H) for j in range(W)]
            pooled[n, c] = sum(cells) / len(cells) if pooling == "average" else max(cells)
    y = pooled @ params["reduction"]["kernel"] + params["reduction"]["bias"][None]
    mean = y.mean(0) if train else stats["mean"]
    var = ((y - mean[None]) ** 2).mean(0) if train else stats["var"]
    y = (y - mean[None]) / np.sqrt(var[None] + 1e-5)
    embedding = np.maximum(y * params["bn"]["scale"][None] + params["bn"]["bias"][None], 0)
    logits = embedding @ params["classifier"]["kernel"] + params["classifier"]["bias"][None]
    return embedding, logits


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("pooling", ["average", "max"])
@pytest.mark.parametrize("train", [True, False])
def test_against_its_formula(pooling: Pooling, train: bool) -> None:
    x = random_array(N, H, W, C)
    head = StageHead(IDS, pooling, EMBEDDING, jnp.float64)
    (embedding, logits), _ = head.apply(variables(), x, train, mutable=["batch_stats"])
    expected = naive_head(x, pooling, train)
    np.testing.assert_allclose(embedding, expected[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-9, atol=1e-12)
    assert (expected[0] == 0).any()
    assert (expected[0] > 0).any()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("power", [1.0, 3.0, 6.5])
def test_generalized_mean_against_its_formula(power: float) -> None:
    x = np.maximum(random_array(N, H, W, C), 0)
    given = {"params": {"power": np.array([power])}}
    found: Any = GeneralizedMean(jnp.float64).apply(given, x)
    expected = np.zeros((N, C))
    for n in range(N):
        for c in range(C):
            cells = [max(x[n, i, j, c], 1e-6) for i in range(H) for j in range(W)]
            expected[n, c] = (sum(cell**power for cell in cells) / len(cells)) ** (1 / power)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_generalized_mean_learns_its_power() -> None:
    x = jnp.asarray(
        np.maximum(random_array(N, H, W, C), 0), jnp.float32
    )  # zeros too: no NaN from them

    def total(power: jax.Array, x: jax.Array) -> jax.Array:
        means: Any = GeneralizedMean().apply({"params": {"power": power}}, x)
        return means.sum()

    slope, slopes = jax.grad(total, (0, 1))(jnp.full((1,), 3.0), x)
    assert slope[0] > 0  # a higher power gives a higher mean
    assert np.isfinite(slopes).all()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("train", [True, False])
def test_bnneck_against_its_formula(train: bool) -> None:
    x, given = random_array(N, H, W, C), variables()
    for tree in given.values():
        tree["neck"] = tree.pop("bn")
    head = StageHead(IDS, "average", EMBEDDING, jnp.float64, "bnneck")
    (embedding, logits), _ = head.apply(given, x, train, mutable=["batch_stats"])
    params, stats = given["params"], given["batch_stats"]["neck"]
    reduced = x.mean((1, 2)) @ params["reduction"]["kernel"] + params["reduction"]["bias"][None]
    mean = reduced.mean(0) if train else stats["mean"]
    var = reduced.var(0) if train else stats["var"]
    normed = (reduced - mean[None]) / np.sqrt(var[None] + 1e-5)
    normed = normed * params["neck"]["scale"][None] + params["neck"]["bias"][None]
    expected = normed @ params["classifier"]["kernel"] + params["classifier"]["bias"][None]
    np.testing.assert_allclose(embedding, reduced if train else normed, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(logits, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_outputs_are_float32_from_a_bfloat16_map(pooling: Pooling) -> None:
    x = jnp.asarray(random_array(N, H, W, C), jnp.bfloat16)
    head = StageHead(IDS, pooling, EMBEDDING)
    narrow = jax.tree.map(np.float32, variables())
    outputs: Any = head.apply(narrow, x, False)
    embedding, logits = outputs
    assert embedding.dtype == logits.dtype == jnp.float32
    # The pooled values are summed in float32: only the input is rounded.
    expected = naive_head(np.asarray(x, np.float64), pooling, train=False)
    np.testing.assert_allclose(embedding, expected[0], rtol=1e-4, atol=1e-4)
