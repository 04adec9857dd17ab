"""Saved embeddings of any model, in one file."""

from pathlib import Path

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix
from pmm_jax.evaluation.embeddings import Embeddings
from pmm_jax.evaluation.features_formats import SIDES, read_arrays
from pmm_jax.evaluation.protocols import without_cameras
from pmm_jax.files import user_path

LARGEST_WHOLE = 2.0**53
"""Above it, float64 holds no longer every integer."""


def load_features(path: str | Path) -> tuple[Embeddings, Embeddings]:
    """Read query and gallery embeddings.

    Args:
        path: npz file with `query_features` (Q, D) floating point, `query_ids` and `query_cameras`
            (Q,) integers or names, optionally `query_paths` (Q,) strings; and `gallery_features`
            (G, D) and so on alike. Without both arrays of cameras no gallery image is removed. Or
            `features`, `ids`, `cameras` and `paths`, where query and gallery are one: every image
            is a query against all others that aren't of its identity and camera, or, without
            cameras, against all others. Or a file of another program (features_formats.py).
            Pickled objects are never loaded.

    Returns:
        Query and gallery, with float32 or float64 features and int64 labels.

    Raises:
        UserError: no such file, another format, or an array that is missing, misshapen, of the
            wrong type or not finite.

    Example:
        >>> from pmm_jax.evaluation import load_features
        >>> np.savez(
        ...     "mine.npz",
        ...     query_features=np.eye(2, 8),
        ...     query_ids=["Ann", "Bob"],
        ...     gallery_features=np.eye(4, 8),
        ...     gallery_ids=["Ann", "Bob", "Ann", "Cid"],
        ... )
        >>> query, gallery = load_features("mine.npz")
        >>> gallery.features.shape, gallery.identity_name(3)
        ((4, 8), 'Cid')
    """
    path = user_path(path)
    arrays, said = read_arrays(path)
    sides = [""] if "features" in arrays else [f"{side}_" for side in SIDES]
    has_cameras = f"{sides[0]}cameras" in arrays
    names = {name: f"{path}: {word}" for name, word in said.items()}
    features = [feature_matrix(names[f"{s}features"], arrays[f"{s}features"]) for s in sides]
    if len({matrix.shape[1] for matrix in features}) > 1:
        raise UserError(
            f"{names['query_features']} has length {features[0].shape[1]} and "
            f"{said['gallery_features']} {features[1].shape[1]}; embed both with the same model"
        )
    labels = {}
    for kind in ("ids", "cameras") if has_cameras else ("ids",):
        columns = [
            _one_each(names[side + kind], arrays[side + kind], len(matrix))
            for side, matrix in zip(sides, features, strict=True)
        ]
        labels[kind] = _numbered([names[side + kind] for side in sides], columns)
    images = []
    for i, (side, matrix) in enumerate(zip(sides, features, strict=True)):
        identities, identity_names = labels["ids"][0][i], labels["ids"][1]
        cameras, camera_names = np.zeros(len(matrix), np.int64), dict[int, str]()
        if has_cameras:
            cameras, camera_names = labels["cameras"][0][i], labels["cameras"][1]
        paths = None
        if f"{side}paths" in arrays:
            paths = _paths(names[f"{side}paths"], arrays[f"{side}paths"], len(matrix))
        images.append(Embeddings(matrix, identities, cameras, paths, identity_names, camera_names))
    query, gallery = images[0], images[-1]
    return (query, gallery) if has_cameras else without_cameras(query, gallery)


def _one_each(name: str, array: np.ndarray, count: int) -> np.ndarray:
    """The array, one value to each image.

    Raises:
        UserError: another shape.
    """
    if array.shape != (count,):
        raise UserError(
            f"{name} has shape {array.shape}; it must be ({count},), one to each row of the "
            "features"
        )
    return array


def _numbered(
    names: list[str], columns: list[np.ndarray]
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Labels as int64, and the names of those that aren't numbers.

    Integers stay as they are, and so do whole numbers that are stored as floating point. Names,
    and integers beyond int64, are numbered from 1 on, in query and gallery alike, but for "-1" and
    "0", which mean what the numbers do.

    Args:
        names: of the arrays, for messages.
        columns: of one kind, of each side.

    Raises:
        UserError: labels that are neither, or one side of each kind.
    """
    columns = [_plain(name, column) for name, column in zip(names, columns, strict=True)]
    if len({column.dtype.kind == "U" for column in columns}) > 1:
        other = names[1].rpartition(": ")[2]
        raise UserError(f"{names[0]} and {other} must both hold numbers, or both names")
    if all(column.dtype.kind != "U" and _fits_int64(column) for column in columns):
        return [column.astype(np.int64) for column in columns], {}
    columns = [column.astype(str) for column in columns]
    known, numbers = np.unique(np.concatenate(columns), return_inverse=True)
    reserved = {"-1": -1, "0": 0}
    codes = np.array([reserved.get(name, i) for i, name in enumerate(known.tolist(), 1)])
    numbers = codes[numbers.ravel()]
    labels = dict(zip(codes.tolist(), known.tolist(), strict=True))
    return np.split(numbers, np.cumsum([len(column) for column in columns[:-1]])), labels


def _plain(name: str, column: np.ndarray) -> np.ndarray:
    """The labels as integers or strings.

    Raises:
        UserError: they are neither.
    """
    if column.dtype.kind in "iu" or (column.dtype.kind == "U" and len(column)):
        return column
    if column.dtype.kind == "S":
        try:
            return np.char.decode(column, "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{name} holds bytes that are not UTF-8; save str") from error
    if column.dtype.kind == "f":
        is_whole = (np.abs(column) <= LARGEST_WHOLE) & (column == np.rint(column))
        if is_whole.all():
            return column.astype(np.int64)
        row = int(np.argmin(is_whole))
        raise UserError(
            f"{name} holds {column[row]} in row {row}; it must hold integers, or names as str"
        )
    raise UserError(f"{name} holds {column.dtype}; it must hold integers, or names as str")


def _fits_int64(column: np.ndarray) -> bool:
    return column.dtype.kind == "i" or not len(column) or int(column.max()) < 2**63


def _paths(name: str, array: np.ndarray, count: int) -> np.ndarray:
    found = _plain(name, _one_each(name, array, count))
    if found.dtype.kind != "U":
        raise UserError(f"{name} holds {found.dtype}; it must hold str")
    return found
