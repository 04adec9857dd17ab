"""A run as a model file, with what is known of its metrics and what its user states of licenses."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pmm_jax.api import Model
from pmm_jax.errors import UserError
from pmm_jax.export.card import CARD, model_card
from pmm_jax.files import read_regular
from pmm_jax.model.weights_file import write_whole
from pmm_jax.model_file import ModelInfo, ModelParts, write_model_file

REPORT = "report.json"
"""Numbers of the run's report, which has the intervals of its metrics."""


def export_model(model: Model, path: Path, with_card: bool = False) -> None:
    """Write a model file, and a model card beside it.

    Args:
        model: what is written.
        path: of the file.
        with_card: write README.md into its folder, too.

    Raises:
        UserError: there is another README.md already, a license note is no line of text, or a file
            can't be written.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.export.model_file import export_model
        >>> export_model(model, Path("demo.safetensors"))
        >>> pmm_jax.load("demo.safetensors").fingerprint == model.fingerprint
        True
    """
    parts = ModelParts(
        model.kind,
        model.network,
        model.params,
        model.batch_stats,
        model.image_size,
        model.info,
        model.calibration,
    )
    card = path.with_name(CARD)
    text = model_card(model, path.name).encode() if with_card else b""
    if with_card and card.exists() and read_regular(card) != text:
        raise UserError(
            f"{card} is there already, and may be somebody's words; move it, or write the model to "
            "a folder of its own"
        )
    write_model_file(path, parts, model.state_dict(), model.classes)
    if with_card:
        write_whole(card, text)


def add_to_info(model: Model, run: Path, data_license: str, weights_license: str) -> ModelInfo:
    """A model's info with what its run's report knows and its user states.

    Args:
        model: of the run.
        run: its folder; anything else has no report.
        data_license: license of the data; empty leaves what the model says.
        weights_license: likewise of the weights.

    Raises:
        UserError: nothing is known of the model, so that there is nothing to add to.
    """
    if model.info is None:
        raise UserError(
            f"{run} holds weights alone, without a config; export a run's folder, or use convert"
        )
    return replace(
        model.info,
        intervals=known_intervals(run, model.info.metrics) or model.info.intervals,
        data_license=data_license or model.info.data_license,
        weights_license=weights_license or model.info.weights_license,
    )


def known_intervals(run: Path, metrics: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """95 % intervals in a run's report; empty unless it is of these very metrics.

    Args:
        run: folder of the run.
        metrics: of a checkpoint.
    """
    try:
        found = json.loads(read_regular(run / REPORT))["result"]["evaluation"]
        intervals = found["intervals"]
        if any(found[name] != metrics[name] for name in intervals):
            return {}
        pairs = {name: (float(low), float(high)) for name, (low, high) in intervals.items()}
    # None is there, it is of a run without images, or somebody wrote into it.
    except (OSError, UserError, RecursionError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: pair for name, pair in pairs.items() if 0 <= pair[0] <= pair[1] <= 1}
