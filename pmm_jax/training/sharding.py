"""One mesh axis, `data`: batches are split over it, the state is on every device."""

from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from pmm_jax.errors import UserError

T = TypeVar("T")


def data_mesh(batch_size: int) -> jax.sharding.Mesh:
    """All devices in one axis.

    Everything is written in the global view, so BatchNorm, hard mining and negatives see the whole
    batch and the number of devices changes the numbers by rounding alone.

    Raises:
        UserError: the batch does not divide by the devices.
    """
    count = jax.device_count()
    if batch_size % count:
        raise UserError(
            f"a batch of {batch_size} images does not divide by {count} devices; change "
            "data.identities_per_batch, data.images_per_identity or evaluate.batch_size"
        )
    # Explicit axes, the default, refuse the reshapes of block ranking and BatchNorm.
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,))


def replicate(mesh: jax.sharding.Mesh, tree: T) -> T:
    """The tree on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split_batch(mesh: jax.sharding.Mesh, array: np.ndarray) -> jax.Array:
    """A host array with its first axis split over the devices."""
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec("data")))
