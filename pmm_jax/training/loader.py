"""Training input: batches of one step or several, from the host or cached on the device.

On an accelerator several steps go out in one call, and a training split that fits stays on the
device, so that the host sends positions instead of images. On a CPU neither pays: a convolution
inside a loop loses its fast path, and host and device memory are the same.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pmm_jax.config import Config
from pmm_jax.data.decode import decode_split
from pmm_jax.data.loading import Batch, image_reader, train_batches
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import Split
from pmm_jax.display import Display
from pmm_jax.distributed.sharding import (
    batch_sharding,
    local_rows,
    replicated,
    shard_pytree,
    split_batch,
)
from pmm_jax.runtime import on_cpu
from pmm_jax.training.schedule import RunSchedule


class MultiStepBatch(NamedTuple):
    """Inputs of one call of the compiled step: the batches of one or several steps."""

    steps: range
    """Numbers of the steps, from 1."""
    inputs: tuple[jax.Array, ...]
    """Arguments of the compiled step after the state: images and labels; or, with the split cached
    on the device, positions, labels and the split. Those of several steps are stacked."""


class TrainLoader:
    """Batches of a training split, placed on the devices."""

    def __init__(
        self, config: Config, data: Split, sampler: IdentitySampler, mesh: Mesh, display: Display
    ) -> None:
        """Decodes nothing yet."""
        accelerator = not on_cpu()
        self._config, self._data, self._sampler = config, data, sampler
        self._mesh, self._display = mesh, display
        size = len(data) * int(np.prod(config.data.image_size)) * 3
        self.on_device = size <= config.data.device_cache_gib * 2**30 and (
            accelerator or config.train.steps_per_call > 1
        )
        wanted = config.train.steps_per_call or (config.train.log_every if accelerator else 1)
        self.length = min(wanted, config.train.log_every, sampler.steps_per_epoch)

    def example(self, length: int) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes, types and shardings of `inputs` for that many steps."""
        batch = (self._sampler.batch_size,)
        stacked = (length, *batch) if length > 1 else batch
        where = batch_sharding(self._mesh, axis=len(stacked) - 1)
        labels = jax.ShapeDtypeStruct(stacked, jnp.int32, sharding=where)
        size = (*self._config.data.image_size, 3)
        if not self.on_device:
            images = jax.ShapeDtypeStruct((*stacked, *size), jnp.uint8, sharding=where)
            return images, labels
        pixels = jax.ShapeDtypeStruct(
            (len(self._data), *size), jnp.uint8, sharding=replicated(self._mesh)
        )
        return labels, labels, pixels

    def batches(self, schedule: RunSchedule, done: int) -> Iterator[MultiStepBatch]:
        """Yield all batches after `done` steps; decodes the split if it is cached on the device."""
        if done == schedule.steps:
            return iter(())
        return self._multi_step(
            schedule, done + 1, *self._host_batches(range(done, schedule.steps))
        )

    def _multi_step(
        self,
        schedule: RunSchedule,
        number: int,
        batches: Iterator[Batch],
        last: tuple[jax.Array, ...],
    ) -> Iterator[MultiStepBatch]:
        while number <= schedule.steps:
            numbers = schedule.steps_at_once(number, self.length)
            some = [next(batches) for _ in numbers]
            yield MultiStepBatch(numbers, (*self._placed(some), *last))
            number = numbers.stop

    def _host_batches(self, steps: range) -> tuple[Iterator[Batch], tuple[jax.Array, ...]]:
        """Host batches of images, or of positions if the split is cached on the device."""
        data, sampler = self._config.data, self._sampler
        rows = local_rows(self._mesh, sampler.batch_size)
        if not self.on_device:
            read = image_reader(self._data, data)
            return train_batches(read, sampler, steps, data.num_workers, rows), ()
        with self._display.bar("decoding", len(self._data)) as bar:
            pixels = decode_split(self._data, data.image_size, data.num_workers, bar.advance)
        positions = train_batches(
            lambda p: p.astype(np.int32), sampler, steps, data.num_workers, rows
        )
        return positions, (shard_pytree(pixels, replicated(self._mesh)),)

    def _placed(self, batches: list[Batch]) -> list[jax.Array]:
        size = self._sampler.batch_size
        if len(batches) == 1:
            return [split_batch(self._mesh, array, size) for array in batches[0]]
        stacked = (np.stack(arrays) for arrays in zip(*batches, strict=True))
        return [split_batch(self._mesh, array, size, axis=1) for array in stacked]
