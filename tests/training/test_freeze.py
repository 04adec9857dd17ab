"""A trunk that is frozen for the first steps, as fast-reid freezes its backbone."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from pmm_jax.config import Config, MethodConfig, ModelConfig, OptimConfig
from pmm_jax.methods import TrainBatch
from pmm_jax.model.heads import StageHead
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.model.resnet import ResNet
from pmm_jax.training.initial import create_train_state
from pmm_jax.training.optimizer import make_optimizer
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask, train_step
from pmm_jax.workdir.checkpoint import Checkpoints

FROZEN = 2


def test_a_frozen_trunk_is_skipped_whole_by_adam(x64: None) -> None:
    """No gradient, no decay, no moments, no count; the rate is everyone's."""
    optim = OptimConfig(weight_decay=0.03, betas=(0.8, 0.95), eps=1e-3, freeze_steps=FROZEN)
    rates = [0.5, 0.1, 0.2, 0.05, 0.3]
    rng = np.random.default_rng(0)
    start = {"trunk": rng.standard_normal(3), "stage1": rng.standard_normal(3)}
    grads = [{name: rng.standard_normal(3) for name in start} for _ in rates]
    naive = {name: value.copy() for name, value in start.items()}
    for name, p in naive.items():
        first, second = np.zeros(3), np.zeros(3)
        since = FROZEN if name == "trunk" else 0
        for t, (rate, grad) in enumerate(zip(rates[since:], grads[since:], strict=True), 1):
            g = grad[name] + 0.03 * p
            first, second = 0.8 * first + 0.2 * g, 0.95 * second + 0.05 * g * g
            unbiased = first / (1 - 0.8**t), second / (1 - 0.95**t)
            p -= rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-3)
    transform = make_optimizer(optim, lambda step: jnp.asarray(rates)[step])
    params = jax.tree.map(jnp.asarray, start)
    state, update = transform.init(params), jax.jit(transform.update)
    for number, grad in enumerate(grads, 1):
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
        assert (params["trunk"] == start["trunk"]).all() == (number <= FROZEN)
    for name, expected in naive.items():
        np.testing.assert_allclose(params[name], expected, rtol=1e-9)


class Trained(NamedTuple):
    """A run of one head on a trunk, of which only the head learns in the first two steps."""

    states: list[TrainState]
    """Before the first step and after each of three."""
    feature_map: np.ndarray
    """The initial trunk's at test time."""


@pytest.fixture(scope="module")
def trained() -> Trained:
    config = Config(
        model=ModelConfig(weights="scratch"),
        method=MethodConfig(name="baseline"),
        optim=OptimConfig(freeze_steps=FROZEN, weight_decay=0.1),
    )
    trunk = ResNet((1,), 1 / 8)  # layer1 alone, which is quickly compiled
    modules: dict[str, nn.Module] = {"trunk": trunk, "stage1": StageHead(4, "average", 8)}
    network = Network(modules, 32, jnp.dtype("float32"))
    tx = make_optimizer(config.optim, lambda step: jnp.float32(1e-3))
    task = TrainTask(network, config, tx)
    pixels = np.random.default_rng(0).standard_normal((8, 16, 16, 3)).astype(np.float32)
    batch = TrainBatch(jnp.asarray(pixels), jnp.arange(8) // 2)
    step = jax.jit(lambda state, batch: train_step(task, state, batch)[0])
    states = [create_train_state(task)]
    for _ in range(FROZEN + 1):
        states.append(step(states[-1], batch))
    variables = {kind: tree["trunk"] for kind, tree in states[0].variables.items()}
    apply = jax.jit(lambda variables, x: trunk.apply(variables, x, False))
    return Trained(states, np.asarray(apply(variables, pixels)))


def moved(before: Tree, after: Tree) -> set[str]:
    """Names of the arrays that differ."""
    old, new = flatten_dict(before, sep="/"), flatten_dict(after, sep="/")
    return {name for name in old if (np.asarray(old[name]) != np.asarray(new[name])).any()}


def test_the_trunk_stays_and_the_head_learns(trained: Trained) -> None:
    states = trained.states
    for before, after in pairwise(states[: FROZEN + 1]):
        assert moved(before.params["trunk"], after.params["trunk"]) == set()
        assert moved(before.batch_stats["trunk"], after.batch_stats["trunk"]) == set()
        assert moved(before.params["stage1"], after.params["stage1"]) > {"reduction/kernel"}
    before, after = states[FROZEN:]
    kernels = {name for name in flatten_dict(before.params["trunk"], sep="/") if "kernel" in name}
    assert moved(before.params["trunk"], after.params["trunk"]) >= kernels
    assert moved(before.batch_stats["trunk"], after.batch_stats["trunk"]) > {"bn1/mean", "bn1/var"}


def test_a_frozen_trunk_normalizes_as_at_test_time(trained: Trained) -> None:
    """The head's statistics are those of what the trunk makes by its running statistics."""
    before, after = trained.states[:2]
    reduction = before.params["stage1"]["reduction"]
    reduced = trained.feature_map.mean((1, 2)) @ np.asarray(reduction["kernel"])
    expected = 0.1 * (reduced + np.asarray(reduction["bias"])[None]).mean(0)
    np.testing.assert_allclose(
        after.batch_stats["stage1"]["bn"]["mean"], expected, rtol=1e-3, atol=1e-6
    )


def test_checkpoints_hold_both_parts_of_the_optimizer(trained: Trained, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, trained.states[3])
        found = checkpoints.restore(3, trained.states[0])
    jax.tree.map(np.testing.assert_array_equal, found, trained.states[3])
