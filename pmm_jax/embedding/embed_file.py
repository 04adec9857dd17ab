"""A source embedded into a file, by one process or several, in as many goes as it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from pmm_jax.api import Model
from pmm_jax.display import Display
from pmm_jax.embedding.embed_source import BATCH, Block, bad_images, check_batch, embed_source
from pmm_jax.embedding.parts import Parts, parts_of, read_part, write_part
from pmm_jax.embedding_table import (
    EmbeddingTable,
    TableHeader,
    check_columns,
    check_ending,
    read_table,
    write_blocks,
)
from pmm_jax.errors import UserError
from pmm_jax.runtime import current_platform
from pmm_jax.sources import Source

PART = 512
"""Images a part, about: what a process that dies loses, at most."""


@dataclass(frozen=True)
class EmbedSettings:
    """How a source is embedded."""

    batch_size: int = BATCH
    """Images embedded at once, divisible by the devices."""
    shard: tuple[int, int] | None = None
    """(I, N): embed the I-th of N parts of the source alone, I from 1."""
    skip_bad: bool = False
    """Leave out images that can't be used."""


class Embedded(NamedTuple):
    """What was written."""

    images: int
    length: int
    """Of an embedding."""
    bad: dict[int, str]
    """Rows that were left out, and why."""


def embed_to_file(
    model: Model, source: Source, path: Path, settings: EmbedSettings, display: Display
) -> Embedded:
    """Embed a source into an .npz or .parquet file, which appears whole.

    What is done is kept in parts beside it, so that the same call goes on where one before was
    stopped, and writes the same bytes.

    Args:
        model: what embeds.
        source: the images.
        path: of the file.
        settings: see there.
        display: shows progress.

    Raises:
        UserError: images that can't be used, without skip_bad; settings that can't work, or a path
            that can't be written.
    """
    check_ending(path)
    check_columns(source.columns)
    check_batch(settings.batch_size)
    rows = shard_rows(len(source), settings)
    with parts_of(path, display.info) as parts:
        stamps = [source.stamp(row) for row in rows.tolist()]
        files = _part_files(model, source, rows, stamps, settings, parts)
        stale = parts.remove_others([file for file, _ in files])
        if stale:
            display.info(
                f"{parts.folder}: {stale} parts are of another model, of other settings, or of "
                "images that have changed; they are made anew"
            )
        gone = [row for row, stamp in zip(rows.tolist(), stamps, strict=True) if not stamp]
        if gone and not settings.skip_bad:
            # Nobody waits for an hour to learn that a list's paths begin in another folder.
            _refuse([_why(source, row) for row in gone[:3]], len(gone), len(rows))
        _make(model, source, files, settings, display)
        return _join(model, source, [file for file, _ in files], path, settings)


def shard_rows(count: int, settings: EmbedSettings) -> np.ndarray:
    """The rows of a shard: whole batches, so that each image is in the company of a single run.

    Raises:
        UserError: there is no such shard.
    """
    if settings.shard is None:
        return np.arange(count)
    number, shards = settings.shard
    batches = -(-count // settings.batch_size)
    if not 1 <= number <= shards:
        raise UserError(f"there is no shard {number}/{shards}; shards are 1/N to N/N")
    if shards > batches:
        raise UserError(
            f"{count} images in batches of {settings.batch_size} can be divided among {batches} at "
            f"most, not {shards}; take fewer shards, or a lower --batch-size"
        )
    first, last = ((k * batches // shards) * settings.batch_size for k in (number - 1, number))
    return np.arange(first, min(last, count))


def join_tables(path: Path, shards: Sequence[Path]) -> int:
    """Join the shards of a source, in any order: the file is the one that a single run writes.

    Returns:
        The number of images.

    Raises:
        UserError: a file that can't be read, shards of several models or sources, or one that is
            missing.
    """
    check_ending(path)
    tables: dict[int, EmbeddingTable] = {}
    first = None
    for file in shards:
        table = read_table(file)
        if table.shard is None:
            raise UserError(f"{file} is no shard; give what pmm embed --shard I/N wrote")
        kind = _kind_of(table, table.shard[1])
        first = first or kind
        if kind != first:
            raise UserError(f"{file} is no shard of the source that {shards[0]} is one of")
        if tables.setdefault(table.shard[0], table) is not table:
            raise UserError(
                f"{file} is shard {table.shard[0]}, as a file before it; give each once"
            )
        count = table.shard[1]
    lacking = [number for number in range(1, count + 1) if number not in tables]
    if lacking:
        raise UserError(f"shard {lacking[0]}/{count} is missing; give all of them")
    ordered = [tables[number] for number in range(1, count + 1)]
    some = ordered[0]
    columns = {
        name: np.concatenate([table.columns[name] for table in ordered]) for name in some.columns
    }
    features = (table.features for table in ordered)
    header = TableHeader(some.fingerprint)
    write_blocks(path, columns, header, features, some.features.shape[1])
    return len(columns["path"])


def _kind_of(table: EmbeddingTable, shards: int) -> tuple[object, ...]:
    """What all shards of a source have in common."""
    kinds = [(name, column.dtype.kind) for name, column in table.columns.items()]
    return table.fingerprint, table.features.shape[1], sorted(kinds), shards


def _part_files(
    model: Model,
    source: Source,
    rows: np.ndarray,
    stamps: list[str],
    settings: EmbedSettings,
    parts: Parts,
) -> list[tuple[Path, np.ndarray]]:
    """File and rows of each part."""
    size = max(PART // settings.batch_size, 1) * settings.batch_size
    machine = [current_platform(), jax.device_count(), jax.__version__]
    same = [model.fingerprint, settings.batch_size, machine]
    files = []
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        made_of = [*same, source.columns["path"][some].tolist(), stamps[start : start + size]]
        files.append((parts.path(start // size, made_of), some))
    return files


def _make(
    model: Model,
    source: Source,
    files: list[tuple[Path, np.ndarray]],
    settings: EmbedSettings,
    display: Display,
) -> None:
    """Embed the parts that aren't there."""
    missing = [(file, rows) for file, rows in files if not file.exists()]
    if not missing:
        return
    rows = np.concatenate([some for _, some in missing])
    count = sum(len(some) for _, some in files)
    blocks = embed_source(model, source, rows, settings.batch_size)
    with display.bar("embedding", count, count - len(rows)) as bar:
        for file, some in missing:
            batches = -(-len(some) // settings.batch_size)
            taken = []
            for block in islice(blocks, batches):
                taken.append(block)
                bar.advance(len(block.rows) + len(block.bad), "images")
            write_part(file, _joined(taken))


def _joined(blocks: Sequence[Block]) -> Block:
    return Block(
        np.concatenate([block.features for block in blocks]),
        np.concatenate([block.rows for block in blocks]),
        {row: why for block in blocks for row, why in block.bad.items()},
    )


def _join(
    model: Model, source: Source, files: list[Path], path: Path, settings: EmbedSettings
) -> Embedded:
    """Write the file from its parts, one of which is in memory at a time."""
    rows: list[np.ndarray] = []
    bad: dict[int, str] = {}
    length = 0
    for file in files:
        part = read_part(file)
        rows.append(part.rows)
        bad.update(part.bad)
        length = part.features.shape[1]
    taken = np.concatenate(rows)
    if bad and not settings.skip_bad:
        _refuse(list(bad.values()), len(bad), len(taken) + len(bad))
    if not len(taken):
        raise UserError(f"{bad_images(list(bad.values()), len(bad), len(bad))}; give others")
    columns = {name: column[taken] for name, column in source.columns.items()}
    header = TableHeader(model.fingerprint, settings.shard)
    write_blocks(path, columns, header, (read_part(file).features for file in files), length)
    return Embedded(len(taken), length, bad)


def _refuse(reasons: Sequence[str], count: int, images: int) -> None:
    raise UserError(
        f"{bad_images(reasons, count, images)}; mend them, or leave them out with --skip-bad"
    )


def _why(source: Source, row: int) -> str:
    try:
        source.image(row)
    except UserError as error:
        return str(error)
    return f"image {source.columns['path'][row]} changes while it is read"
