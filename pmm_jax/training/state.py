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


def new_state(params: Tree, stats: Tree, transform: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    # As one program: leaf by leaf, each shape of the moments would be compiled on its own.
    moments = jax.jit(transform.init)(params)
    return TrainState(jnp.zeros((), jnp.int32), params, stats, moments)
