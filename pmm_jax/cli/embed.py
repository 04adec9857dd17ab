"""pmm embed MODEL SOURCE OUT, and pmm embed --join OUT SHARD..."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pmm_jax.cli.parsing import parse, wants_help
from pmm_jax.errors import UserError
from pmm_jax.files import printable, user_path

USAGE = "pmm embed MODEL SOURCE OUT.npz|OUT.parquet [options]"
JOIN = "pmm embed --join OUT SHARD..."

DESCRIPTION = (
    "MODEL SOURCE OUT.npz|OUT.parquet [options]: embed the images of a folder, of a CSV file with "
    "a column path, or of a video with detections. The same command goes on where one was stopped. "
    "--join OUT SHARD...: join what --shard 1/N to N/N wrote."
)


@dataclass(frozen=True)
class Options:
    """Options of `pmm embed`."""

    detections: str = ""
    """CSV file of boxes in a video: columns frame (from 0), x, y, width, height, and any others."""
    skip_bad: bool = False
    """Leave out images that can't be used, and name them."""
    shard: str = ""
    """I/N: embed the I-th of N shards alone, I from 1; one for each of several machines."""
    batch_size: int = 64
    """Images embedded at once."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Checkpoint of a run; best is by mAP."""


def embed_command(arguments: Sequence[str]) -> None:
    """Parse, embed, write."""
    if arguments[:1] == ["--join"]:
        _join(arguments[1:])
        return
    words = 0 if wants_help(arguments[:3]) else 3
    if len(arguments) < words or any(word.startswith("-") for word in arguments[:words]):
        raise UserError(f"embed needs a model, images and a file to write: {USAGE}, or {JOIN}")
    options = parse(Options(), arguments[words:], DESCRIPTION, "pmm embed")
    model_name, source_name, out = arguments[:3]
    shard = _shard(options.shard)
    from pmm_jax.api import load_any
    from pmm_jax.display import Display
    from pmm_jax.embedding.embed_file import EmbedSettings, embed_to_file
    from pmm_jax.embedding_table import check_ending
    from pmm_jax.sources import open_source

    display, path = Display(), user_path(out)
    check_ending(path)
    # First: a misspelt path needs no model.
    source = open_source(source_name, options.detections, display.info)
    model = load_any(model_name, options.checkpoint)
    settings = EmbedSettings(options.batch_size, shard, options.skip_bad)
    found = embed_to_file(model, source, path, settings, display)
    for _, why in sorted(found.bad.items()):
        print(printable(f"left out: {why}"), file=sys.stderr)
    rest = f"; {len(found.bad):,} left out" if found.bad else ""
    display.info(f"{path}: {found.images:,} images, embeddings of {found.length} numbers{rest}")


def _join(words: Sequence[str]) -> None:
    if len(words) < 2 or any(word.startswith("-") for word in words):
        raise UserError(f"embed --join needs a file to write, and its shards: {JOIN}")
    from pmm_jax.embedding.embed_file import join_tables

    path, *shards = map(user_path, words)
    print(f"{path}: {join_tables(path, shards):,} images of {len(shards)} shards")


def _shard(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise UserError(f"--shard {printable(text)}: give I/N, such as 1/3, 2/3 and 3/3")
    return int(found[1]), int(found[2])
