"""Saved embeddings of any model, as one npz file."""

from pathlib import Path

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix, integer_labels
from pmm_jax.evaluation.embeddings import Embeddings
from pmm_jax.npz import read_npz

ARRAYS = tuple(
    f"{side}_{what}" for side in ("query", "gallery") for what in ("features", "ids", "cameras")
)


def load_features(path: str | Path) -> tuple[Embeddings, Embeddings]:
    """Read query and gallery embeddings.

    Args:
        path: npz file with `query_features` (Q, D) floating point, `query_ids` (Q,) and
            `query_cameras` (Q,) integers, and `gallery_features` (G, D), `gallery_ids` and
            `gallery_cameras` alike. Pickled objects are never loaded.

    Returns:
        Query and gallery, with float32 features and int64 labels.

    Raises:
        UserError: no such file, not an npz file, or an array that is missing, misshapen, of the
            wrong type or not finite.
    """
    arrays = read_npz(Path(path), ARRAYS, f"a file of embeddings, which holds {', '.join(ARRAYS)}")
    query, gallery = (_embeddings(f"{path}: {side}", side, arrays) for side in ("query", "gallery"))
    if query.features.shape[1] != gallery.features.shape[1]:
        raise UserError(
            f"{path}: query_features has length {query.features.shape[1]} and gallery_features "
            f"{gallery.features.shape[1]}; embed both with the same model"
        )
    return query, gallery


def _embeddings(label: str, side: str, arrays: dict[str, np.ndarray]) -> Embeddings:
    features = feature_matrix(f"{label}_features", arrays[f"{side}_features"])
    count, unit = len(features), f"row of {side}_features"
    return Embeddings(
        features,
        integer_labels(f"{label}_ids", arrays[f"{side}_ids"], count, unit),
        integer_labels(f"{label}_cameras", arrays[f"{side}_cameras"], count, unit),
    )
