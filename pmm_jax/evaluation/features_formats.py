"""Files of embeddings of several programs, read as the arrays that ours have."""

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pmm_jax.embedding_table import EmbeddingTable, read_table
from pmm_jax.errors import UserError
from pmm_jax.files import open_regular
from pmm_jax.npz import DEFLATE, array_names, memory, read_npz

KIND = (
    "a file of embeddings, which holds query_features, query_ids, gallery_features, gallery_ids "
    "and, where there are cameras, query_cameras and gallery_cameras; or features, ids and cameras "
    "of images that are each a query against all the others"
)
SIDES = ("query", "gallery")
TORCHREID = {
    **{"query_features": "qf", "query_ids": "q_pids", "query_cameras": "q_camids"},
    **{"gallery_features": "gf", "gallery_ids": "g_pids", "gallery_cameras": "g_camids"},
    **{"query_paths": "q_paths", "gallery_paths": "g_paths"},
}
"""Our names, and those of the variables in torchreid's and fast-reid's evaluation, under which
people save them."""
LAYUMI = {
    f"{side}_{ours}": f"{side}_{theirs}"
    for side in SIDES
    for ours, theirs in (("features", "f"), ("ids", "label"), ("cameras", "cam"))
}
"""Our names, and those in Person_reID_baseline_pytorch's pytorch_result.mat."""


class Arrays(NamedTuple):
    """Arrays of a file."""

    arrays: dict[str, np.ndarray]
    """By our names: `query_features`, `gallery_ids` and so on; or `features`, `ids`, `cameras`,
    `paths` where query and gallery are one."""
    names: dict[str, str]
    """What the file calls each, for messages."""


def read_arrays(path: Path) -> Arrays:
    """Read a file of embeddings, of whichever format its name says.

    Raises:
        UserError: no such file, another format, a damaged file, or a missing array.
    """
    return FORMATS.get(path.suffix.lower(), _read_npz)(path)


def _read_npz(path: Path) -> Arrays:
    found = array_names(path, KIND)
    if {"features", "fingerprint", "paths"} <= found:  # of `pmm embed`
        return _of_table(path, read_table(path))
    names = TORCHREID if "qf" in found else {}
    has = {name for name in _known() if names.get(name, name) in found}
    wanted = _wanted(path, has, names)
    arrays = read_npz(path, [names.get(name, name) for name in wanted], KIND)
    return _named({name: arrays[names.get(name, name)] for name in wanted}, names)


def _read_mat(path: Path) -> Arrays:
    """pytorch_result.mat of Person_reID_baseline_pytorch: MATLAB 5, which holds no code."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    try:
        with open_regular(path) as file:
            shapes = {name: shape for name, shape, _ in whosmat(file)}
            names = {ours: theirs for ours, theirs in LAYUMI.items() if theirs in shapes}
            wanted = _wanted(path, set(names), LAYUMI)
            lacking = [LAYUMI[name] for name in wanted if name not in names]
            if lacking:
                raise UserError(f"{path} lacks {', '.join(lacking)}; it is not {KIND}")
            # Numbers of at most 8 bytes, which Deflate can't have made of fewer bytes than these.
            size = 8 * sum(math.prod(shapes[LAYUMI[name]]) for name in wanted)
            if size > min(memory(), 8 * DEFLATE * path.stat().st_size):
                raise UserError(f"{path} takes more memory than there is, or is damaged")
            file.seek(0)
            found = loadmat(file, variable_names=[LAYUMI[name] for name in wanted])
    except UserError:
        raise
    except NotImplementedError as error:  # HDF5
        raise UserError(
            f"{path} is of MATLAB 7.3; write it with scipy.io.savemat, or -v7 in MATLAB"
        ) from error
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}; give {KIND}") from error
    # What SciPy makes of bytes that are no such file; it has no common class for them.
    except (
        MatReadError,
        zlib.error,
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
        EOFError,
        MemoryError,
    ) as error:
        raise UserError(f"{path} is no MATLAB file, or damaged; give {KIND}") from error
    arrays = {}
    for name in wanted:
        value = np.asarray(found[LAYUMI[name]])
        # MATLAB has no vectors: a row for each array of labels.
        is_row = not name.endswith("features") and value.ndim == 2 and value.shape[0] == 1
        arrays[name] = value[0] if is_row else value
    return _named(arrays, LAYUMI)


def _read_parquet(path: Path) -> Arrays:
    return _of_table(path, read_table(path))


def _of_table(path: Path, table: EmbeddingTable) -> Arrays:
    """The images of a table; with a column `split`, those that it calls query and gallery."""
    if "id" not in table.columns:
        raise UserError(f"{path} has no column id; embed a CSV file that says who is on each image")
    columns = {"ids": "id", "cameras": "camera", "paths": "path"}
    known = {ours: name for ours, name in columns.items() if name in table.columns}
    splits = np.char.lower(table.columns.get("split", np.empty(0, "U1")).astype(str))
    if not np.isin(SIDES, splits).all():
        arrays = {ours: table.columns[name] for ours, name in known.items()}
        return _named({"features": table.features} | arrays, known)
    arrays, names = {}, {}
    for side in SIDES:
        some = table.take(splits == side)
        arrays[f"{side}_features"] = some.features
        for ours, name in known.items():
            arrays[f"{side}_{ours}"] = some.columns[name]
            names[f"{side}_{ours}"] = f"{name} of {side}"
    return _named(arrays, names)


FORMATS: dict[str, Callable[[Path], Arrays]] = {".mat": _read_mat, ".parquet": _read_parquet}
"""Readers by a file's ending; all others are npz."""


def _known() -> list[str]:
    """Every name of ours."""
    kinds = ("features", "ids", "cameras", "paths")
    return [*kinds, *(f"{side}_{kind}" for side in SIDES for kind in kinds)]


def _wanted(path: Path, has: set[str], names: dict[str, str]) -> list[str]:
    """Names of ours to read; those that a file must have and lacks are asked for, too.

    Raises:
        UserError: one side alone has cameras.
    """
    sides = [""] if "features" in has else ["query_", "gallery_"]
    found = [side for side in sides if f"{side}cameras" in has]
    if found and found != sides:
        lacks = "gallery_cameras" if found == ["query_"] else "query_cameras"
        raise UserError(
            f"{path} lacks {names.get(lacks, lacks)}; give the cameras of both sides, or of neither"
        )
    kinds = ["features", "ids", *(["cameras"] if found else [])]
    wanted = [f"{side}{kind}" for side in sides for kind in kinds]
    return wanted + [f"{side}paths" for side in sides if f"{side}paths" in has]


def _named(arrays: dict[str, np.ndarray], names: dict[str, str]) -> Arrays:
    return Arrays(arrays, {name: names.get(name, name) for name in arrays})
