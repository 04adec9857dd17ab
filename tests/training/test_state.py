"""A step of the state, and where its arrays lie on more devices than are at hand."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from pmm_jax.training.state import TrainState, state_sharding

PARAMS = {
    "kernel": jnp.zeros((3, 3, 8, 64)),
    "tall": jnp.zeros((12, 6)),
    "odd": jnp.zeros((7, 9)),
    "bias": jnp.zeros(4),
    "short": jnp.zeros(2),
}
SPREAD = {
    "kernel": PartitionSpec(None, None, None, "data"),
    "tall": PartitionSpec("data"),
    "odd": PartitionSpec(),
    "bias": PartitionSpec("data"),
    "short": PartitionSpec(),
}
"""On 4 devices: along the longest axis that divides by them."""


def specs(spread: bool) -> Any:
    state = TrainState.create(PARAMS, {"mean": jnp.zeros(64)}, optax.scale_by_adam())
    mesh: Any = AbstractMesh((4,), ("data",))
    return state, jax.tree.map(lambda s: s.spec, state_sharding(mesh, state, spread))


@pytest.mark.parametrize("spread", [True, False])
def test_moments_alone_are_sharded_and_only_if_set(spread: bool) -> None:
    state, found = specs(spread)
    for moments in (found.opt_state.mu, found.opt_state.nu):
        assert moments == (SPREAD if spread else dict.fromkeys(PARAMS, PartitionSpec()))
    assert found.opt_state.count == PartitionSpec()
    for spec in jax.tree.leaves((found.step, found.params, found.batch_stats)):
        assert spec == PartitionSpec()
    sizes = [math.prod(x.shape) for x in jax.tree.leaves(state.opt_state)]
    assert sum(sizes) > 2 * 3 * 3 * 8 * 64


def test_the_optimizer_remembers_the_steps_before() -> None:
    tx = optax.sgd(0.1, momentum=0.5)
    state = TrainState.create({"w": jnp.array([1.0])}, {"mean": jnp.zeros(1)}, tx)
    weight, velocity = 1.0, 0.0
    for step, gradient in enumerate((2.0, -1.0, 4.0), 1):
        statistics = {"mean": jnp.full(1, gradient)}
        state = state.apply_gradients(tx, {"w": jnp.array([gradient])}, statistics)
        velocity = 0.5 * velocity + gradient
        weight -= 0.1 * velocity
        np.testing.assert_allclose(state.params["w"], [weight], rtol=1e-6)
        assert state.batch_stats == statistics
        assert state.step == step
    assert state.ema_params is None
