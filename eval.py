"""Evaluate a run, or saved embeddings of any model.

python eval.py --config configs/NAME.py --workdir DIR
python eval.py --embeddings FILE.npz [--rerank] [--distance cosine] [--roc] [--json] ...
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pmm_jax.cli import main, parse, parse_run
from pmm_jax.config import Config, RankConfig
from pmm_jax.errors import UserError
from pmm_jax.files import write_atomic
from pmm_jax.launch import Launch

# `main` has to come before jax is imported.
if TYPE_CHECKING:
    from pmm_jax.evaluation import Embeddings
    from pmm_jax.evaluation.streaming import Share
    from pmm_jax.evaluation.summary import Summary


@dataclass(frozen=True)
class ShowOptions:
    """What eval.py shows."""

    roc: bool = False
    """Add true positive rates at false positive rates of 0.01, 0.1 and 1 %."""
    intervals: bool = False
    """Add 95 % bootstrap intervals over the queries."""
    camera_pairs: bool = False
    """Add Rank-1 and mAP of each pair of cameras."""
    per_query: str = ""
    """CSV file to write: each query's image, what it found first, average precision and mINP."""
    json: bool = False
    """Print one JSON object instead of the table."""


@dataclass(frozen=True)
class RunOptions(Config, ShowOptions, Launch):
    """What eval.py takes for a run, besides the config's own fields."""

    workdir: str = "runs/latest"
    """Folder that train.py wrote."""


@dataclass(frozen=True)
class FileOptions(RankConfig, ShowOptions):
    """What eval.py takes for saved embeddings."""

    embeddings: str = ""
    """npz file with query_features, query_ids, query_cameras and the same for gallery_; without
    cameras where there are none; or features, ids (and cameras), where each image asks for all the
    others."""
    chunk: int = 512
    """Queries that are compared with a block of the gallery at once."""


def run(arguments: Sequence[str]) -> None:
    """Parse, evaluate, print."""
    if any(word.split("=")[0] == "--embeddings" for word in arguments):
        file = parse(FileOptions(), arguments, "Rank saved embeddings of any model.")
        from pmm_jax.evaluation import load_features

        summary = _summary(*load_features(file.embeddings), file, file.chunk, file)
        show(summary, file)
        return
    config, options = parse_run(
        arguments, RunOptions, "Evaluate a run; or, with --embeddings FILE.npz, any model."
    )
    # Imported late: saved embeddings need none of what a run does.
    from pmm_jax.training.display import Display
    from pmm_jax.training.evaluate import embed_run, own_share
    from pmm_jax.training.processes import is_first, join

    join(options)
    display = Display(stderr=options.json, quiet=not is_first())
    query, gallery = embed_run(config, Path(options.workdir), display)
    settings = config.evaluate
    summary = _summary(query, gallery, settings, settings.chunk, options, own_share())
    if is_first():
        show(summary, options)


def show(summary: Summary, options: ShowOptions) -> None:
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
    chunk: int,
    options: ShowOptions,
    share: Share | None = None,
) -> Summary:
    from pmm_jax.evaluation.summary import summarise

    first = share is None or share.index == 0
    return summarise(
        query,
        gallery,
        settings,
        chunk,
        # Of several processes the first one prints.
        roc=options.roc and first,
        intervals=options.intervals and first,
        camera_pairs=options.camera_pairs and first,
        per_query=bool(options.per_query),
        share=share,
    )


if __name__ == "__main__":
    main(run)
