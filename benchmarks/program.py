"""The training step as a compiled program on a mesh, with a state: what benchmarks look at."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.config import Config
from pmm_jax.distributed.sharding import (
    batch_sharding,
    data_mesh,
    shard_pytree,
    split_batch,
)
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.training.compile_step import compile_step
from pmm_jax.training.optimizer import make_optimizer
from pmm_jax.training.state import TrainState, state_sharding
from pmm_jax.training.train_step import TrainTask, negative_shards


class Program(NamedTuple):
    """A step and what it takes."""

    step: Any
    """Compiled: (state, images, labels) to (state, metrics)."""
    state: TrainState
    batch: tuple[jax.Array, jax.Array]
    """Random uint8 images, and labels."""


def program(config: Config, num_ids: int, devices: int) -> Program:
    """The step on the first `devices`, each with the config's batch: the whole grows with them."""
    config = replace(
        config,
        data=replace(config.data, identities_per_batch=devices * config.data.identities_per_batch),
    )
    data = config.data
    size = data.identities_per_batch * data.images_per_identity
    mesh = data_mesh(size, devices)
    network = create_model(config, num_ids)
    tx = make_optimizer(config.optim, lambda _: 1e-4)
    task = TrainTask(network, config, tx, negative_shards(config, devices))
    state = TrainState.create(*init_params(network, 0), tx)
    state = shard_pytree(state, state_sharding(mesh, state, config.optim.shard_moments))
    shapes = (
        jax.ShapeDtypeStruct((size, *data.image_size, 3), jnp.uint8, sharding=batch_sharding(mesh)),
        jax.ShapeDtypeStruct((size,), jnp.int32, sharding=batch_sharding(mesh)),
    )
    step = compile_step(task, state, shapes)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, shapes[0].shape, dtype=np.uint8)
    labels = np.repeat(
        np.arange(data.identities_per_batch, dtype=np.int32), data.images_per_identity
    )
    placed = split_batch(mesh, images, size), split_batch(mesh, labels, size)
    return Program(step, state, placed)
