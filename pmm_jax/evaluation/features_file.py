"""Saved embeddings of any model, as one npz file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix, integer_labels
from pmm_jax.evaluation.embeddings import Embeddings

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
    arrays = _read(Path(path))
    query, gallery = (_embeddings(f"{path}: {side}", side, arrays) for side in ("query", "gallery"))
    if query.features.shape[1] != gallery.features.shape[1]:
        raise UserError(
            f"{path}: query_features has length {query.features.shape[1]} and gallery_features "
            f"{gallery.features.shape[1]}; embed both with the same model"
        )
    return query, gallery


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:  # np.load leaves a file that it refuses open
            # np.load would also take .npy and pickles; only a zip archive can be an npz.
            if not zipfile.is_zipfile(stream):
                raise UserError(f"{path} is not an npz file; write it with numpy.savez")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                missing = [name for name in ARRAYS if name not in file.files]
                if missing:
                    raise UserError(
                        f"{path} lacks {', '.join(missing)}; it must hold {', '.join(ARRAYS)}"
                    )
                return {name: _array(path, name, file) for name in ARRAYS}
    except OSError as error:
        raise UserError(
            f"can't read {path}: {error.strerror or error}; give the npz file of embeddings"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); write it again") from error


def _array(path: Path, name: str, file: np.lib.npyio.NpzFile) -> np.ndarray:
    try:
        array = file[name]
    except ValueError as error:
        # numpy's refusal of pickled objects, or of a broken header.
        raise UserError(
            f"{path}: {name} can't be read as a plain array: pickled objects are never loaded; "
            "save numbers, as float32 or int64"
        ) from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: {name} is not an array; save it with numpy.savez")
    return array


def _embeddings(label: str, side: str, arrays: dict[str, np.ndarray]) -> Embeddings:
    features = feature_matrix(f"{label}_features", arrays[f"{side}_features"])
    count, unit = len(features), f"row of {side}_features"
    return Embeddings(
        features,
        integer_labels(f"{label}_ids", arrays[f"{side}_ids"], count, unit),
        integer_labels(f"{label}_cameras", arrays[f"{side}_cameras"], count, unit),
    )
