"""Options of `pmm eval`, and the run and config that they name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pmm_jax.cli.config_file import load_config
from pmm_jax.cli.parsing import check_names, parse, parse_options, take_option, wants_help
from pmm_jax.config import Config, DataConfig, RankConfig
from pmm_jax.errors import UserError
from pmm_jax.fields import check_fields, expand_paths, number, path
from pmm_jax.launch import DistributedConfig

PROGRAM = "pmm eval"
DATA_SET = ("name", "root", "train_fraction", "cameras", "allow_duplicates")
"""Fields of `data` that say which images there are."""


@dataclass(frozen=True)
class ShowOptions:
    """Options of `pmm eval` about its output."""

    roc: bool = False
    """Add true positive rates at false positive rates of 0.01, 0.1 and 1 %."""
    intervals: bool = False
    """Add 95 % bootstrap intervals over the queries."""
    camera_pairs: bool = False
    """Add Rank-1 and mAP of each pair of cameras."""
    per_query: str = path("")
    """CSV file to write, with each query's image, first results, average precision and mINP."""
    json: bool = False
    """Print one JSON object instead of the table."""


@dataclass(frozen=True)
class RunOptions(Config, ShowOptions, DistributedConfig):
    """Options of `pmm eval` for a run, besides the config's fields."""

    workdir: str = path("runs/latest")
    """Folder of the run; its config.json holds the config that the model was trained with."""
    cross_domain: bool = False
    """Evaluate on the data set that --config and --data.* name, other than the one trained on."""


@dataclass(frozen=True)
class FileOptions(RankConfig, ShowOptions):
    """Options of `pmm eval` for saved embeddings."""

    embeddings: str = path("")
    """npz file with query_features, query_ids, query_cameras and gallery_features, gallery_ids,
    gallery_cameras (cameras are optional); or with features, ids and cameras, to search each
    image among all others; or what pmm embed, or another program, wrote
    (docs/guides/evaluation.md)."""
    query_block: int = number(512, 1, 32_768)
    """Queries compared at once with a block of the gallery; bounds memory."""


def run_to_evaluate(arguments: Sequence[str]) -> tuple[Config, RunOptions, str]:
    """The run's own config with what the command line changes of its evaluation, and a note.

    Raises:
        UserError: there is no run, or an option that would make another model of it.
    """
    description = "Evaluate a run; or, with --embeddings FILE.npz, any model."
    path, rest = take_option(arguments, "--config")
    check_names(RunOptions, rest, ("--config",))
    if wants_help(rest):
        parse(RunOptions(), rest, description, PROGRAM)
    # The other options' defaults are the run's own, so these two have to be known first.
    workdir, cross_domain = _workdir(rest), _is_on("--cross-domain", rest)
    from pmm_jax.workdir.run_config import differences, load_run_config

    named = None if path is None else load_config(path)  # first: it may register a data set
    try:
        own = load_run_config(workdir)
    except UserError:
        parse(RunOptions(), rest, description, PROGRAM)  # a wrong option is said first
        raise
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
    config, options = parse_options(rest, RunOptions, description, config, PROGRAM)
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


def _workdir(words: Sequence[str]) -> Path:
    named, _ = take_option(words, "--workdir")
    options = RunOptions() if named is None else RunOptions(workdir=named)
    check_fields(options)
    return Path(expand_paths(options).workdir)


def _is_on(switch: str, words: Sequence[str]) -> bool:
    """Whether a switch is on: the last of the words that turn it on or off decides."""
    off = switch.replace("--", "--no-", 1)
    given = [word for word in (word.replace("_", "-") for word in words) if word in (switch, off)]
    return given[-1:] == [switch]


def _data_set_of(data: DataConfig, own: DataConfig) -> DataConfig:
    """The run's own fields, with another data set's."""
    return replace(own, **{name: getattr(data, name) for name in DATA_SET})
