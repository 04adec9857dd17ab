"""Everything that changes during training, as one pytree that checkpoints hold whole."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh, NamedSharding

from pmm_jax.distributed.sharding import batch_sharding, replicated
from pmm_jax.model.pmm import Tree


@struct.dataclass
class TrainState:
    """State of a run; batches and random numbers follow from `step` and the seed.

    Field names are those of Flax's TrainState.
    """

    step: jax.Array
    """Scalar int32: steps taken, which is also the position in the data."""
    params: Tree
    """Parameters, by module."""
    batch_stats: Tree
    """BatchNorm's running statistics, by module."""
    opt_state: Any
    """Moments and count of the optimizer."""
    ema_params: Tree | None = None
    """Exponential moving average of the parameters, where optim.ema_decay asks for one."""

    centers: tuple[jax.Array, ...] | None = None
    """(identities, embedding_size) of each stage, where method.center_loss asks for them."""

    @classmethod
    def create(
        cls, params: Tree, batch_stats: Tree, tx: optax.GradientTransformation, ema: bool = False
    ) -> "TrainState":
        """The state before the first step; `ema` keeps an average of the parameters."""
        # As one program: leaf by leaf, each shape of the moments would be compiled on its own.
        opt_state = jax.jit(tx.init)(params)
        ema_params = jax.tree.map(jnp.copy, params) if ema else None
        return cls(jnp.zeros((), jnp.int32), params, batch_stats, opt_state, ema_params)

    @property
    def eval_params(self) -> Tree:
        """The parameters that an evaluation uses."""
        return self.params if self.ema_params is None else self.ema_params

    @property
    def variables(self) -> dict[str, Tree]:
        """Parameters and statistics by Flax's collections, each by module."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    def apply_gradients(
        self,
        tx: optax.GradientTransformation,
        grads: Tree,
        batch_stats: Tree,
        ema_decay: float = 0.0,
    ) -> "TrainState":
        """The state after the optimizer's step, with the statistics of its batch.

        The average, if there is one, keeps `ema_decay` of itself; less in the first steps,
        (1 + t) / (10 + t) after t of them, so that the initial weights are soon forgotten.
        """
        updates, opt_state = tx.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, updates)
        ema_params = self.ema_params
        if ema_params is not None:
            decay = jnp.minimum(ema_decay, (1 + self.step) / (10 + self.step))
            ema_params = optax.incremental_update(params, ema_params, 1 - decay)
        return TrainState(self.step + 1, params, batch_stats, opt_state, ema_params, self.centers)


def state_sharding(mesh: Mesh, state: TrainState, spread: bool) -> TrainState:
    """Sharding of each array of the state, as a tree of its structure.

    Args:
        mesh: the devices.
        state: arrays or their shapes.
        spread: split the optimizer's moments over the devices (ZeRO, stage 1: Rajbhandari et al.
            2020), each along its longest axis that divides. XLA then updates each part where it
            lies, and gathers the new parameters.
    """

    def moment(array: jax.Array) -> NamedSharding:
        axes = [i for i in range(array.ndim) if array.shape[i] % mesh.size == 0]
        if not spread or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda i: array.shape[i])
        return batch_sharding(mesh, longest)

    everywhere = jax.tree.map(lambda _: replicated(mesh), state)
    return everywhere.replace(opt_state=jax.tree.map(moment, state.opt_state))


def mesh_of(state: TrainState) -> Mesh:
    """The mesh that a placed state lies on."""
    sharding = state.step.sharding
    if not isinstance(sharding, NamedSharding) or not isinstance(sharding.mesh, Mesh):
        raise TypeError("the state is on no mesh; place it first")
    return sharding.mesh
