"""Saved embeddings of any model, as one npz file."""

from pathlib import Path

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix, integer_labels
from pmm_jax.evaluation.embeddings import Embeddings
from pmm_jax.evaluation.variants import without_cameras
from pmm_jax.files import user_path
from pmm_jax.npz import array_names, read_npz

KIND = (
    "a file of embeddings, which holds query_features, query_ids, gallery_features, gallery_ids "
    "and, where there are cameras, query_cameras and gallery_cameras; or features, ids and cameras "
    "of images that each ask for all the others"
)


def load_features(path: str | Path) -> tuple[Embeddings, Embeddings]:
    """Read query and gallery embeddings.

    Args:
        path: npz file with `query_features` (Q, D) floating point, `query_ids` and `query_cameras`
            (Q,) integers, and `gallery_features` (G, D), `gallery_ids` and `gallery_cameras`
            alike. Without both arrays of cameras no gallery image is removed. Or `features`, `ids`
            and `cameras`, where query and gallery are one: every image asks for all others that
            aren't of its identity and camera, or for all others where there are no cameras.
            Pickled objects are never loaded.

    Returns:
        Query and gallery, with float32 features and int64 labels.

    Raises:
        UserError: no such file, not an npz file, or an array that is missing, misshapen, of the
            wrong type or not finite.
    """
    path = user_path(path)
    names = array_names(path, KIND)
    if "features" in names:
        images, has_cameras = _read(path, "", names)
        return (images, images) if has_cameras else without_cameras(images, images)
    query, query_has = _read(path, "query_", names)
    gallery, gallery_has = _read(path, "gallery_", names)
    if query.features.shape[1] != gallery.features.shape[1]:
        raise UserError(
            f"{path}: query_features has length {query.features.shape[1]} and gallery_features "
            f"{gallery.features.shape[1]}; embed both with the same model"
        )
    if query_has != gallery_has:
        lacks = "gallery_cameras" if query_has else "query_cameras"
        raise UserError(f"{path} lacks {lacks}; give the cameras of both sides, or of neither")
    return (query, gallery) if query_has else without_cameras(query, gallery)


def _read(path: Path, side: str, names: frozenset[str]) -> tuple[Embeddings, bool]:
    """The embeddings of one side, and whether the file knows their cameras."""
    wanted = [f"{side}features", f"{side}ids"]
    has_cameras = f"{side}cameras" in names
    if has_cameras:
        wanted.append(f"{side}cameras")
    arrays = read_npz(path, wanted, KIND)
    features = feature_matrix(f"{path}: {side}features", arrays[f"{side}features"])
    count, unit = len(features), f"row of {side}features"
    labels = [integer_labels(f"{path}: {n}", arrays[n], count, unit) for n in wanted[1:]]
    if not has_cameras:
        labels.append(np.zeros(count, np.int64))
    return Embeddings(features, labels[0], labels[1]), has_cameras
