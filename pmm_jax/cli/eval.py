"""pmm eval --workdir DIR, or pmm eval --embeddings FILE.npz."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pmm_jax.cli.eval_options import PROGRAM, FileOptions, ShowOptions, run_to_evaluate
from pmm_jax.cli.parsing import parse
from pmm_jax.config import RankConfig
from pmm_jax.errors import UserError
from pmm_jax.files import write_atomic

if TYPE_CHECKING:
    from pmm_jax.distributed.processes import ProcessShard
    from pmm_jax.evaluation import Embeddings
    from pmm_jax.evaluation.summary import Summary


def eval_command(arguments: Sequence[str]) -> None:
    """Parse, evaluate, print."""
    if any(word.split("=")[0] == "--embeddings" for word in arguments):
        _evaluate_file(arguments)
    else:
        _evaluate_run(arguments)


def _evaluate_file(arguments: Sequence[str]) -> None:
    file = parse(FileOptions(), arguments, "Rank saved embeddings of any model.", PROGRAM)
    from pmm_jax.evaluation import load_features

    _check_output(file)
    summary = _summary(*load_features(file.embeddings), file, file.query_block, file)
    _show(summary, file)


def _evaluate_run(arguments: Sequence[str]) -> None:
    config, options, note = run_to_evaluate(arguments)
    _check_output(options)
    # Imported late: saved embeddings need none of what a run does.
    from pmm_jax.display import Display
    from pmm_jax.distributed.processes import initialize_distributed, is_first, own_shard
    from pmm_jax.inference import embed_run

    initialize_distributed(options)
    display = Display(stderr=options.json, quiet=not is_first())
    if note:
        display.info(note)
    query, gallery = embed_run(config, Path(options.workdir), display, options.cross_domain)
    settings = config.evaluate
    summary = _summary(query, gallery, settings, settings.query_block, options, own_shard())
    if is_first():
        _show(summary, options)


def _check_output(options: ShowOptions) -> None:
    """Find out before any work whether the file of the queries can be written."""
    if not options.per_query:
        return
    file = Path(options.per_query)
    if file.is_dir():
        raise UserError(f"--per-query {file} is a folder; name a file")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"--per-query {file}: {file.parent} is no folder that can be written to")


def _show(summary: Summary, options: ShowOptions) -> None:
    """Print a summary, and write the file of its queries.

    Raises:
        UserError: the file can't be written.
    """
    if options.per_query:
        try:
            table = summary.queries_csv().encode(errors="backslashreplace")
            write_atomic(Path(options.per_query), table)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"--per-query {options.per_query}: {reason}") from error
    print(json.dumps(summary.as_json()) if options.json else summary.text())


def _summary(
    query: Embeddings,
    gallery: Embeddings,
    settings: RankConfig,
    query_block: int,
    options: ShowOptions,
    shard: ProcessShard | None = None,
) -> Summary:
    from pmm_jax.evaluation.summary import summarize

    first = shard is None or shard.index == 0
    return summarize(
        query,
        gallery,
        settings,
        query_block,
        # Of several processes the first one prints.
        roc=options.roc and first,
        intervals=options.intervals and first,
        camera_pairs=options.camera_pairs and first,
        per_query=bool(options.per_query),
        shard=shard,
    )
