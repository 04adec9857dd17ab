"""Checks of the arrays of an evaluation; every message names the array and has a hint."""

import numpy as np
import numpy.typing as npt

from pmm_jax.errors import UserError


def integer_labels(name: str, values: npt.ArrayLike, count: int, unit: str) -> np.ndarray:
    """The labels as (count,) int64, one to each `unit` ("query image", "row of distances").

    Raises:
        UserError: another shape or length, or values that aren't integers.
    """
    array = np.asarray(values)
    if array.shape != (count,):
        raise UserError(
            f"{name} has shape {array.shape}; it must be ({count},), one number to each {unit}"
        )
    if array.dtype.kind not in "iu":
        raise UserError(f"{name} holds {array.dtype}; it must hold integers")
    if array.dtype == np.uint64 and count and array.max() > np.iinfo(np.int64).max:
        row = int(np.argmax(array))
        raise UserError(f"{name} holds {array[row]} in row {row}; it must be below 2^63")
    return array.astype(np.int64)


def feature_matrix(name: str, values: npt.ArrayLike) -> np.ndarray:
    """The embeddings as (N, D) float32 or float64 with at least one row and column, all finite.

    Raises:
        UserError: another shape, values that aren't floating point, NaN or infinity.
    """
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(
            f"{name} has shape {array.shape}; it must be (images, length), at least 1 of each"
        )
    if array.dtype.kind != "f":
        raise UserError(f"{name} holds {array.dtype}; it must hold float32 or float64")
    with np.errstate(over="ignore"):  # becomes inf, which is refused by name below
        kind = np.float32 if array.itemsize <= 4 else np.float64
        array = np.ascontiguousarray(array, kind)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise UserError(not_finite(name, row, array[row]))
    return array


def not_finite(name: str, row: int, values: np.ndarray) -> str:
    """The refusal of a row that holds NaN or infinity."""
    column = int(np.argmin(np.isfinite(values)))
    return (
        f"{name} holds {values[column]} in row {row}, column {column}; it must be finite, and "
        "isn't where a model diverged in training: lower its learning rate"
    )
