"""The learning rate of every epoch, and Adam against a naive one."""

import math
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pmm_jax.config import OptimConfig
from pmm_jax.training.optimizer import learning_rate, make_optimizer

STEPS = 3  # an epoch


def released_rate(epoch: int) -> float:
    if epoch < 50:
        return 1e-4 * (epoch // 5 + 1)
    if epoch < 200:
        return 1e-3
    return 1e-4 if epoch < 300 else 1e-5


def test_stairs_are_the_releases_in_all_400_epochs() -> None:
    rate = learning_rate(OptimConfig(), epochs=400, steps_per_epoch=STEPS)
    rates = np.asarray(jax.vmap(rate)(jnp.arange(400 * STEPS)))
    expected = [released_rate(epoch) for epoch in range(1, 401) for _ in range(STEPS)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_stairs_scale_with_the_peak_and_move_with_their_fields() -> None:
    optim = OptimConfig(peak_lr=0.5, warmup_epochs=3, warmup_step_epochs=2, milestones=(5, 7))
    rate = learning_rate(optim, epochs=8, steps_per_epoch=1)
    rates = [float(rate(jnp.int32(step))) for step in range(8)]
    # Epochs 1 to 8; epoch // 2 + 1 tenths up to epoch 3.
    expected = [0.05, 0.1, 0.1, 0.5, 0.05, 0.05, 0.005, 0.005]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


@pytest.mark.parametrize("field", [{"warmup_step_epochs": 2}, {"warmup_epochs": 100}])
def test_stairs_never_climb_above_the_peak(field: dict) -> None:
    optim = OptimConfig(**field)
    rate = learning_rate(optim, epochs=400, steps_per_epoch=1)
    rates = np.asarray(jax.vmap(rate)(jnp.arange(400)))
    assert rates.max() == np.float32(optim.peak_lr)


def naive_cosine(step: int, optim: OptimConfig, total: int) -> float:
    """Linear, constant, then PyTorch's CosineAnnealingLR with eta_min, as fast-reid has them."""
    warmup, delay = optim.warmup_epochs * STEPS, optim.delay_epochs * STEPS
    if step < warmup:
        return optim.peak_lr * (step + 1) / warmup
    if step < delay:
        return optim.peak_lr
    start = max(warmup, delay)
    cosine = math.cos(math.pi * (step - start) / (total - start))
    return optim.min_lr + (optim.peak_lr - optim.min_lr) * (1 + cosine) / 2


@pytest.mark.parametrize(
    "fields",
    [
        {"warmup_epochs": 0},
        {"warmup_epochs": 2},
        {"warmup_epochs": 10},
        {"warmup_epochs": 2, "min_lr": 7e-5},
        {"warmup_epochs": 2, "min_lr": 7e-7, "delay_epochs": 5},
        {"warmup_epochs": 5, "delay_epochs": 2},
    ],
)
def test_cosine_against_its_formula(fields: dict[str, Any]) -> None:
    optim = OptimConfig(schedule="cosine", peak_lr=2e-3, **fields)
    epochs, total = 10, 10 * STEPS
    rate = learning_rate(optim, epochs, STEPS)
    rates = np.asarray(jax.vmap(rate)(jnp.arange(total)))
    expected = [naive_cosine(step, optim, total) for step in range(total)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-9)
    assert rates.max() <= 2e-3 * (1 + 1e-6)


def test_cosine_starts_above_0_peaks_once_and_ends_at_0() -> None:
    optim = OptimConfig(schedule="cosine", peak_lr=1.0, warmup_epochs=10)
    rate = learning_rate(optim, epochs=100, steps_per_epoch=10)
    rates = np.asarray(jax.vmap(rate)(jnp.arange(1001)))
    assert rates[0] == pytest.approx(0.01)
    assert rates[99] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(1.0)
    assert rates[1000] == pytest.approx(0, abs=1e-7)
    assert (np.diff(rates[:100]) > 0).all()
    assert (np.diff(rates[101:]) < 0).all()
    assert np.abs(np.diff(rates)).max() < 0.011  # no jump, at the peak least of all


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_and_adamw_against_naive_ones(optimizer: Literal["adam", "adamw"]) -> None:
    optim = OptimConfig(optimizer, weight_decay=0.03, betas=(0.8, 0.95), eps=1e-3)
    rates = [0.5, 0.1, 0.2, 0.05]
    rng = np.random.default_rng(0)
    start = {"kernel": rng.standard_normal((3, 2)), "bias": rng.standard_normal(2)}
    grads = [{name: rng.standard_normal(p.shape) for name, p in start.items()} for _ in rates]

    naive = {name: p.copy() for name, p in start.items()}
    first = {name: np.zeros_like(p) for name, p in start.items()}
    second = {name: np.zeros_like(p) for name, p in start.items()}
    for t, (rate, grad) in enumerate(zip(rates, grads, strict=True), 1):
        for name, p in naive.items():
            # L2 joins the moments; decoupled decay doesn't, and spares biases.
            g = grad[name] + 0.03 * p if optimizer == "adam" else grad[name]
            kept = 1 - rate * 0.03 * (optimizer == "adamw" and name == "kernel")
            first[name] = 0.8 * first[name] + 0.2 * g
            second[name] = 0.95 * second[name] + 0.05 * g * g
            unbiased = first[name] / (1 - 0.8**t), second[name] / (1 - 0.95**t)
            naive[name] = kept * p - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-3)

    with jax.enable_x64(True):
        transform = make_optimizer(optim, lambda step: jnp.asarray(rates)[step])
        params = jax.tree.map(jnp.asarray, start)
        state = transform.init(params)
        for grad in grads:
            updates, state = transform.update(jax.tree.map(jnp.asarray, grad), state, params)
            params = optax.apply_updates(params, updates)
        for name, expected in naive.items():
            np.testing.assert_allclose(params[name], expected, rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("which", ["classifiers", "kernels"])
def test_centralized_gradients_against_the_definition(
    optimizer: Literal["adam", "adamw"], which: Literal["classifiers", "kernels"]
) -> None:
    """Yong et al.: each output's column of the gradient, with L2 where that joins it, gets mean 0.

    What remains is the plain optimizer, which the test above holds to a naive one.
    """
    optim = OptimConfig(optimizer, weight_decay=0.03, eps=1e-3)
    centralizing = make_optimizer(replace(optim, centralize=which), lambda step: 0.1)
    by_hand = make_optimizer(
        replace(optim, weight_decay=0.0 if optimizer == "adam" else 0.03), lambda step: 0.1
    )
    rng = np.random.default_rng(0)
    chosen = {"classifier", "conv"} if which == "kernels" else {"classifier"}

    def sample() -> dict[str, dict[str, jax.Array]]:
        stage = {"classifier": jnp.asarray(rng.random((6, 7))), "bias": jnp.asarray(rng.random(7))}
        return {"trunk": {"conv": jnp.asarray(rng.random((3, 3, 4, 5)))}, "stage1": stage}

    def expected(params: dict, grads: dict) -> dict:
        found: dict = {}
        for part, names in grads.items():
            for name, g in names.items():
                g = g + 0.03 * params[part][name] if optimizer == "adam" else g
                if name in chosen:
                    g = g - np.stack(
                        [np.full(g.shape[:-1], g[..., o].mean()) for o in range(g.shape[-1])], -1
                    )
                found.setdefault(part, {})[name] = g
        return found

    with jax.enable_x64(True):
        one = other = sample()
        states = centralizing.init(one), by_hand.init(other)
        for grads in [sample() for _ in range(3)]:
            updates, first = centralizing.update(grads, states[0], one)
            same, second = by_hand.update(expected(other, grads), states[1], other)
            one, other = optax.apply_updates(one, updates), optax.apply_updates(other, same)
            states = first, second
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), one, other)


def test_every_parameter_decays() -> None:
    transform = make_optimizer(replace(OptimConfig(), weight_decay=0.1), lambda step: 1.0)
    params = {"scale": jnp.ones(2), "bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = transform.update(zeros, transform.init(params), params)
    for update in jax.tree.leaves(updates):
        np.testing.assert_allclose(update, -1, rtol=1e-4)  # Adam's first step has size 1
