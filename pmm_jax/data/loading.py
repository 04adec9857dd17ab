"""Batches for training and evaluation: uint8 images at the network's size, ready for the device."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from pmm_jax.config import DataConfig
from pmm_jax.data.decode import decode_record, empty_images
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import Split

ReadImages = Callable[[np.ndarray], np.ndarray]
"""Positions (n,) to images (n, H, W, 3) uint8."""


class Batch(NamedTuple):
    """A training batch on the host."""

    images: np.ndarray
    """(P * K, H, W, 3) uint8, or the rows of them that this process reads."""
    labels: np.ndarray
    """(P * K,) int32 classes, likewise."""


def image_reader(split: Split, data: DataConfig) -> ReadImages:
    """A function that decodes images of a split by position, on any thread.

    Where the split takes no more than data.host_cache_gib, each image is decoded when it is first
    read, and then cached: the first batch waits for its own images alone.

    Raises:
      UserError: data.host_cache_gib allows more than there is.
    """

    def decoded(positions: np.ndarray) -> np.ndarray:
        images = np.empty((len(positions), *data.image_size, 3), np.uint8)
        for row, position in enumerate(positions):
            images[row] = decode_record(split, int(position), data.image_size)
        return images

    shape = (len(split), *data.image_size, 3)
    if np.prod(shape, dtype=np.int64) > data.host_cache_gib * 2**30:
        return decoded
    cache = empty_images(shape, "data.host_cache_gib")
    is_cached = np.zeros(len(split), bool)

    def read(positions: np.ndarray) -> np.ndarray:
        missing = np.unique(positions[~is_cached[positions]])
        if len(missing):
            # Two threads may decode the same image: both write the same bytes.
            cache[missing] = decoded(missing)
            is_cached[missing] = True
        return cache[positions]

    return read


def train_batches(
    read: ReadImages,
    sampler: IdentitySampler,
    steps: range,
    workers: int,
    rows: np.ndarray | None = None,
) -> Iterator[Batch]:
    """The batches of those steps, in order, made ahead by worker threads.

    Batch i depends on the seed and i alone, so a resumed run needs no other data position.

    Args:
        read: images by position.
        sampler: positions by step.
        steps: from 0.
        workers: threads.
        rows: the rows of each batch to read, where other processes read the others.
    """

    def load(step: int) -> Batch:
        positions = sampler.batch(step)
        if rows is not None:
            positions = positions[rows]
        return Batch(read(positions), sampler.labels[positions].astype(np.int32))

    import grain  # here: a model that is loaded to embed a few images needs none of it

    dataset = grain.MapDataset.range(steps.start, steps.stop).map(load)
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
    return iter(dataset.to_iter_dataset(options))


def ordered_batches(
    split: Split, data: DataConfig, batch_size: int, rows: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """A split from first to last image, in batches of one shape.

    Args:
        split: what is read.
        data: the images' size, and the worker threads.
        batch_size: images a batch.
        rows: the rows of each batch to read, where other processes read the others; else all.

    Yields:
        Images (rows, H, W, 3) uint8, the last batch filled up with zeros, and how many of the
        whole batch are the split's.
    """
    wanted = np.arange(batch_size) if rows is None else rows

    def load(start: int) -> tuple[np.ndarray, int]:
        count = min(batch_size, len(split) - start)
        images = np.zeros((len(wanted), *data.image_size, 3), np.uint8)
        for i, row in enumerate(wanted[wanted < count]):
            images[i] = decode_record(split, start + int(row), data.image_size)
        return images, count

    import grain

    dataset = grain.MapDataset.range(0, len(split), batch_size).map(load)
    options = grain.ReadOptions(
        num_threads=data.num_workers, prefetch_buffer_size=2 * data.num_workers
    )
    return iter(dataset.to_iter_dataset(options))
