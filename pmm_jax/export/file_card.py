"""The card beside an exported file: what goes in and out, and how the file was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pmm_jax.data.augment import MEAN, STD
from pmm_jax.errors import UserError
from pmm_jax.export.card import data_name
from pmm_jax.export.onnx_check import relative_differences
from pmm_jax.files import write_atomic

if TYPE_CHECKING:
    from pmm_jax.api import Model


def card_path(target: Path) -> Path:
    """The card's path: the file's with `.json` behind it, so that no two files share one."""
    return target.with_name(f"{target.name}.json")


def encode_card(card: Mapping[str, Any]) -> str:
    """The card's text."""
    return json.dumps(card, indent=1) + "\n"


def about_model(model: Model, heads: list[str]) -> dict[str, Any]:
    """The card's part on the model, whatever is exported of it.

    Args:
        model: what embeds.
        heads: whose embeddings the file gives; none of a bare trunk.
    """
    about: dict[str, Any] = {
        "kind": model.kind,
        "image_size": list(model.image_size),
        "fingerprint": model.fingerprint,
        "heads": {name: model.network.embedding_sizes[name] for name in heads or ["trunk"]},
    }
    if model.info is not None:
        about["data"] = data_name(model, model.info)
        about["data_fingerprint"] = model.info.data_fingerprint
        about["metrics"] = dict(model.info.metrics)
    return about


def normalization(is_outside: bool = False) -> dict[str, Any]:
    """The card's part on normalization.

    Args:
        is_outside: the consumer normalizes, and not the graph.
    """
    return {
        "where": "outside, by the consumer" if is_outside else "inside the graph",
        "color": "RGB",
        "range": "0..1",
        "mean": [round(float(value), 6) for value in MEAN],
        "std": [round(float(value), 6) for value in STD],
    }


def compare(
    target: Path, runtime: str, found: np.ndarray, expected: np.ndarray, tolerance: float | None
) -> dict[str, Any]:
    """The card's figures of a file's embeddings beside the model's.

    Args:
        target: the file, for the message.
        runtime: what ran it, likewise.
        found: (N, D) of the file.
        expected: (N, D) of the model.
        tolerance: largest relative difference of an image's embedding; None where it is stated, and
            not bounded.

    Raises:
        UserError: they differ by more, or the model's are zero, as any file's could be.
    """
    if not expected.any():
        raise UserError(
            f"{target} is not written: the model's own embeddings are zero, so that nothing shows "
            "whether the file's are right; train it first"
        )
    differences = relative_differences(found, expected)
    worst = float(differences.max())
    if tolerance is not None and not worst < tolerance:
        raise UserError(
            f"{target} is not written: {runtime}'s embeddings differ from the model's by "
            f"{worst:.1e} of their length, more than {tolerance:.0e}"
        )
    return {
        "relative_difference_max": worst,
        "relative_difference_mean": float(differences.mean()),
        "tolerance": tolerance,
    }


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write all files, or none.

    Raises:
        UserError: one can't be written.
    """
    written = []
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
            written.append(path)
    except OSError as error:
        for other in written:
            other.unlink(missing_ok=True)
        raise UserError(f"can't write {path}: {error.strerror or error}") from error
