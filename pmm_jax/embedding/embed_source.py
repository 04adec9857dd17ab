"""The embeddings of a source, batch by batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import grain
import jax
import numpy as np

from pmm_jax.api import Model
from pmm_jax.display import Display
from pmm_jax.distributed.sharding import data_mesh, replicated, shard_pytree, split_batch
from pmm_jax.embedding_table import ENDINGS, EmbeddingTable, read_table
from pmm_jax.errors import UserError
from pmm_jax.files import user_path
from pmm_jax.inference import make_embed, stream_batches
from pmm_jax.runtime.machine import cores
from pmm_jax.sources import Source, open_source

BATCH = 64
"""Images embedded at once, as of `Model.embed`."""
THREADS = 16
"""Threads that decode, at most."""
_NAMED = 3
"""Images that a message names."""


class Block(NamedTuple):
    """The embeddings of some rows of a source."""

    features: np.ndarray
    """(n, D) float32, of the rows whose images could be read."""
    rows: np.ndarray
    """(n,) those rows, ascending."""
    bad: Mapping[int, str]
    """Why another row's image could not."""


def embed_source(
    model: Model, source: Source, rows: np.ndarray, batch_size: int = BATCH
) -> Iterator[Block]:
    """The embeddings of rows of a source, as `Model.embed` gives them, on all devices.

    Images are decoded by threads while devices work. Every batch has the same shape, so an
    embedding doesn't depend on what else is embedded.

    Args:
        model: what embeds.
        source: the images.
        rows: (N,) ascending.
        batch_size: images embedded at once, divisible by the devices.

    Yields:
        One block a batch, of at most batch_size rows; together, all rows in order.

    Raises:
        UserError: a batch that the devices can't share.
    """
    embed = embedder(model, batch_size)
    batches = _batches(source, rows, model.image_size, batch_size)
    for features, (taken, bad) in stream_batches(embed, batches):
        sound = np.array([row not in bad for row in taken])
        yield Block(features[: len(taken)][sound], taken[sound], bad)


def embedder(model: Model, batch_size: int) -> Callable[[np.ndarray], jax.Array]:
    """A function from images (batch_size, H, W, 3) uint8 to embeddings, on all devices.

    Raises:
        UserError: a batch that the devices can't share.
    """
    check_batch(batch_size)
    mesh = data_mesh(batch_size)
    params, batch_stats = shard_pytree((model.params, model.batch_stats), replicated(mesh))
    embed = make_embed(model.network, mesh=mesh)
    return lambda images: embed(params, batch_stats, split_batch(mesh, images, batch_size))


def check_batch(batch_size: int) -> None:
    """Refuse a batch that the devices can't share.

    Raises:
        UserError: it is one.
    """
    devices = jax.device_count()
    if batch_size < 1 or batch_size % devices:
        raise UserError(
            f"a batch of {batch_size} images does not divide by {devices} devices; give another "
            "--batch-size"
        )


def embedding_table_of(source: str, model: Model, display: Display) -> EmbeddingTable:
    """The table that SOURCE stands for, in memory.

    Args:
        source: a file that `pmm embed` wrote with this model, or what `open_source` takes.
        model: what embeds.
        display: shows progress, and what is left out of a folder.

    Raises:
        UserError: a file that another model embedded, or images that can't be used.
    """
    if source.endswith(ENDINGS):
        table = read_table(user_path(source))
        check_fingerprint(source, table, model)
        return table
    images = open_source(source, info=display.info)
    blocks = []
    with display.bar("embedding", len(images)) as bar:
        for block in embed_source(model, images, np.arange(len(images))):
            blocks.append(block)
            bar.advance(len(block.rows) + len(block.bad))
    bad = [why for block in blocks for why in block.bad.values()]
    if bad:
        raise UserError(
            f"{bad_images(bad, len(bad), len(images))}; mend them, or give what pmm embed "
            "--skip-bad writes of the others"
        )
    features = np.concatenate([block.features for block in blocks])
    return EmbeddingTable(features, dict(images.columns), model.fingerprint)


def check_fingerprint(source: str, table: EmbeddingTable, model: Model) -> None:
    """Refuse a table that another model embedded.

    Raises:
        UserError: it is one, or doesn't say which model it is of.
    """
    if table.fingerprint != model.fingerprint:
        of = "no model is named in it" if table.fingerprint is None else "another model embedded it"
        raise UserError(f"{source}: {of}; embed the images with this one")


def bad_images(reasons: Sequence[str], count: int, images: int) -> str:
    """A line on images that can't be used.

    Args:
        reasons: of the first few, at least.
        count: of them.
        images: of which they are some.
    """
    rest = "; ..." if count > _NAMED else ""
    return f"{count:,} of {images:,} images can't be used: {'; '.join(reasons[:_NAMED])}{rest}"


def _batches(
    source: Source, rows: np.ndarray, image_size: tuple[int, int], batch_size: int
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, dict[int, str]]]]:
    """Images (batch_size, H, W, 3) uint8, black where there is none; their rows, and bad ones."""

    def load(start: int) -> tuple[np.ndarray, tuple[np.ndarray, dict[int, str]]]:
        taken = rows[start : start + batch_size]
        images = np.zeros((batch_size, *image_size, 3), np.uint8)
        bad: dict[int, str] = {}
        for i, row in enumerate(taken.tolist()):
            try:
                images[i] = source.pixels(row, image_size)
            except UserError as error:
                bad[row] = str(error)
        return images, (taken, bad)

    threads = 1 if source.is_sequential else min(cores(), THREADS)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = grain.MapDataset.range(0, len(rows), batch_size).map(load)
    return iter(dataset.to_iter_dataset(options))
