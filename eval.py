"""Evaluate a run, or saved embeddings of any model.

python eval.py --workdir DIR [--evaluate.rerank ...]
python eval.py --embeddings FILE.npz [--rerank] [--distance cosine] [--roc] [--json] ...
"""

from __future__ import annotations

from pmm_jax import early  # noqa: F401  # before what takes long to import

# isort: split
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pmm_jax.cli import load_config, main, parse, parse_options, take_option
from pmm_jax.config import Config, DataConfig, RankConfig
from pmm_jax.errors import UserError
from pmm_jax.fields import number, path
from pmm_jax.files import write_atomic
from pmm_jax.launch import DistributedConfig

# `main` has to come before jax is imported.
if TYPE_CHECKING:
    from pmm_jax.evaluation import Embeddings
    from pmm_jax.evaluation.streaming import Share
    from pmm_jax.evaluation.summary import Summary


DATA_SET = ("name", "root", "train_fraction", "cameras", "allow_duplicates")
"""Fields of `data` that say which images there are."""


@dataclass(frozen=True)
class ShowOptions:
    """What eval.py shows."""

    roc: bool = False
    """Add true positive rates at false positive rates of 0.01, 0.1 and 1 %."""
    intervals: bool = False
    """Add 95 % bootstrap intervals over the queries."""
    camera_pairs: bool = False
    """Add Rank-1 and mAP of each pair of cameras."""
    per_query: str = path("")
    """CSV file to write: each query's image, what it found first, average precision and mINP."""
    json: bool = False
    """Print one JSON object instead of the table."""


@dataclass(frozen=True)
class RunOptions(Config, ShowOptions, DistributedConfig):
    """What eval.py takes for a run, besides the config's own fields."""

    workdir: str = path("runs/latest")
    """Folder that train.py wrote; its config.json says how the model was trained."""
    cross_domain: bool = False
    """Evaluate on another data set than the run was trained on: the one that --config and --data.*
    name."""


@dataclass(frozen=True)
class FileOptions(RankConfig, ShowOptions):
    """What eval.py takes for saved embeddings."""

    embeddings: str = path("")
    """npz file with query_features, query_ids, query_cameras and the same for gallery_; without
    cameras where there are none; or features, ids (and cameras), where each image asks for all the
    others."""
    chunk: int = number(512, 1, 32_768)
    """Queries that are compared with a block of the gallery at once."""


def run(arguments: Sequence[str]) -> None:
    """Parse, evaluate, print."""
    if any(word.split("=")[0] == "--embeddings" for word in arguments):
        file = parse(FileOptions(), arguments, "Rank saved embeddings of any model.")
        from pmm_jax.evaluation import load_features

        _check_output(file)
        summary = _summary(*load_features(file.embeddings), file, file.chunk, file)
        show(summary, file)
        return
    config, options, note = _run_to_evaluate(arguments)
    _check_output(options)
    # Imported late: saved embeddings need none of what a run does.
    from pmm_jax.training.display import Display
    from pmm_jax.training.evaluate import embed_run, own_share
    from pmm_jax.training.processes import initialize_distributed, is_first

    initialize_distributed(options)
    display = Display(stderr=options.json, quiet=not is_first())
    if note:
        display.info(note)
    query, gallery = embed_run(config, Path(options.workdir), display, options.cross_domain)
    settings = config.evaluate
    summary = _summary(query, gallery, settings, settings.chunk, options, own_share())
    if is_first():
        show(summary, options)


def _run_to_evaluate(arguments: Sequence[str]) -> tuple[Config, RunOptions, str]:
    """The run's own config with what the command line changes of its evaluation, and a note.

    Raises:
        UserError: there is no run, or an option that would make another model of it.
    """
    description = "Evaluate a run; or, with --embeddings FILE.npz, any model."
    path, rest = take_option(arguments, "--config")
    asked = parse(RunOptions(), rest, description)
    workdir, cross_domain = Path(asked.workdir), asked.cross_domain
    from pmm_jax.training.workdir import differences, load_run_config

    named = None if path is None else load_config(path)  # first: it may register a data set
    own = load_run_config(workdir)
    config, note = own, ""
    if named is not None:
        if cross_domain:
            config = replace(own, data=_data_set_of(named.data, own.data))
        elif named.data.name != own.data.name:
            raise UserError(
                f"--config {path} names {named.data.name}, and the run in {workdir} was trained on "
                f"{own.data.name}; leave --config out, or add --cross-domain to evaluate on "
                f"{named.data.name}"
            )
        elif changed := differences(own, named):
            few = ", ".join(f"{name} {json.dumps(old)}" for name, (old, _) in changed.items())
            note = f"note: the run in {workdir} was trained with {few}, unlike {path}"
    config, options = parse_options(rest, RunOptions, description, config)
    fixed = own if not cross_domain else replace(own, data=_data_set_of(config.data, own.data))
    for name, (old, new) in differences(fixed, config).items():
        hint = "it stays as it was trained; leave the option out"
        if name.removeprefix("data.") in DATA_SET:
            hint = "add --cross-domain to evaluate on another data set"
        raise UserError(
            f"the run in {workdir} was trained with {name} {json.dumps(old)}, not "
            f"{json.dumps(new)}; {hint}"
        )
    return config, options, note


def _data_set_of(data: DataConfig, own: DataConfig) -> DataConfig:
    """The run's own fields, with another data set's."""
    return replace(own, **{name: getattr(data, name) for name in DATA_SET})


def _check_output(options: ShowOptions) -> None:
    """Find out before any work whether the file of the queries can be written."""
    if not options.per_query:
        return
    file = Path(options.per_query)
    if file.is_dir():
        raise UserError(f"--per-query {file} is a folder; name a file")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"--per-query {file}: {file.parent} is no folder that can be written to")


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
