"""One mesh axis, `data`: batches are split over all devices, and the state is on every one.

Everything is written in the global view: BatchNorm, hard mining and losses see the whole batch.
With negatives from the whole batch too, the number of devices changes a run by rounding alone.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from pmm_jax.errors import UserError

AXIS = "data"


def data_mesh(batch_size: int, devices: int | None = None) -> Mesh:
    """All devices of all processes in one axis, or the first few of them.

    Raises:
        UserError: the batch does not divide by the devices.
    """
    count = devices or jax.device_count()
    if batch_size % count:
        raise UserError(
            f"a batch of {batch_size} images does not divide by {count} devices; change "
            "data.identities_per_batch, data.images_per_identity or evaluate.batch_size"
        )
    # Explicit axes, the default, refuse the reshapes of block ranking and BatchNorm.
    chosen = None if devices is None else jax.devices()[:devices]
    return jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen)


def batch_sharding(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Sharding of a batch over the devices."""
    return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding that replicates an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def shard_pytree(tree: Any, sharding: Any) -> Any:
    """Place a tree that every process holds whole as `sharding` says.

    Args:
        tree: of host or device arrays.
        sharding: one for all, or a tree of them.

    Returns:
        The tree of device arrays.
    """

    def move(array: Any, target: NamedSharding) -> jax.Array:
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, target, lambda index: host[index])

    if isinstance(sharding, NamedSharding):
        return jax.tree.map(lambda array: move(array, sharding), tree)
    return jax.tree.map(move, tree, sharding)


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """The rows of a batch that this process's devices hold, ascending: what it has to read."""
    indices = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.sort(np.concatenate([np.arange(batch_size)[index] for index in indices]))


def split_batch(mesh: Mesh, local: np.ndarray, batch_size: int, axis: int = 0) -> jax.Array:
    """A batch split over the devices, from the rows of it that `local_rows` names.

    Args:
        mesh: the devices.
        local: this process's rows, along `axis`.
        batch_size: rows of the whole batch.
        axis: 1 for a stack of batches.
    """
    if local.shape[axis] == batch_size:
        return jax.device_put(local, batch_sharding(mesh, axis))
    rows = local_rows(mesh, batch_size)

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None  # a split array has parts
        return local.take(np.searchsorted(rows, np.arange(batch_size)[index[axis]]), axis)

    shape = (*local.shape[:axis], batch_size, *local.shape[axis + 1 :])
    return jax.make_array_from_callback(shape, batch_sharding(mesh, axis), part)
