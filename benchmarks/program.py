"""The training step as a compiled program on a mesh, with a state: what benchmarks look at."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

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
    mesh, task, state = new_task(config, num_ids, devices)
    images, labels = host_batch(config)
    shapes = tuple(
        jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=batch_sharding(mesh))
        for array in (images, labels)
    )
    step = compile_step(task, state, shapes)
    size = len(labels)
    return Program(step, state, (split_batch(mesh, images, size), split_batch(mesh, labels, size)))


def new_task(config: Config, num_ids: int, devices: int) -> tuple[Mesh, TrainTask, TrainState]:
    """A mesh of the first `devices`, what is trained, and the state on that mesh."""
    mesh = data_mesh(config.data.identities_per_batch * config.data.images_per_identity, devices)
    network = create_model(config, num_ids)
    tx = make_optimizer(config.optim, lambda _: 1e-4)
    task = TrainTask(network, config, tx, negative_shards(config, devices))
    state = TrainState.create(*init_params(network, 0), tx)
    return mesh, task, shard_pytree(state, state_sharding(mesh, state, config.optim.shard_moments))


def host_batch(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 images and their labels, of the config's sizes."""
    data = config.data
    labels = np.repeat(
        np.arange(data.identities_per_batch, dtype=np.int32), data.images_per_identity
    )
    shape = (len(labels), *data.image_size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), labels
