"""Everything that changes during training, as one tree that checkpoints hold whole."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from pmm_jax.model.pmm import Tree


@struct.dataclass
class TrainState:
    """A run at one moment; batches and random numbers follow from `step` and the seed."""

    step: jax.Array
    """Scalar int32: steps taken, which is also the position in the data."""
    params: Tree
    """Parameters, by part."""
    stats: Tree
    """BatchNorm's running statistics, by part."""
    optimizer: Any
    """Moments and count of the optimiser."""
    average: Tree | None = None
    """Moving average of the parameters, where optim.average_decay asks for one."""

    @property
    def tested(self) -> Tree:
        """The parameters that an evaluation uses."""
        return self.params if self.average is None else self.average


def new_state(
    params: Tree, stats: Tree, transform: optax.GradientTransformation, averaged: bool = False
) -> TrainState:
    """The state before the first step; `averaged` keeps a moving average of the parameters."""
    # As one program: leaf by leaf, each shape of the moments would be compiled on its own.
    moments = jax.jit(transform.init)(params)
    average = jax.tree.map(jnp.copy, params) if averaged else None
    return TrainState(jnp.zeros((), jnp.int32), params, stats, moments, average)
