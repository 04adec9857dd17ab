"""A table of embedded images: what `pmm embed` writes, and galleries, links and eval.py read.

Two forms hold the same: npz, in the names that eval.py reads, and parquet, a row an image.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.files import printable, write_atomic
from pmm_jax.npz import array_names, read_npz

if TYPE_CHECKING:
    import pyarrow

ENDINGS = (".npz", ".parquet")
KIND = "a file that pmm embed wrote"
NPZ_NAMES = {"path": "paths", "id": "ids", "camera": "cameras"}
"""Columns whose array in an npz file has another name, which eval.py reads."""
RESERVED = ("features", "fingerprint", "embedding")
"""Names that no column can have."""
METADATA = b"pmm_jax"
"""Key of a parquet file's metadata; its value is JSON."""


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Embedded images and what is known of each."""

    features: np.ndarray
    """(N, D) float32, as the model gives them: not normalized."""
    columns: dict[str, np.ndarray]
    """By name, (N,) int64, float64 or str each. `path` is always there; `id`, `camera`, `frame` and
    others where the source had them."""
    fingerprint: str | None = None
    """`Model.fingerprint` of the model that embedded them; None where it is unknown."""

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: np.ndarray) -> EmbeddingTable:
        """Some of the images: indices, or a mask."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return EmbeddingTable(self.features[rows], columns, self.fingerprint)


def write_table(path: Path, table: EmbeddingTable) -> None:
    """Write a table, whole or not at all; the same table gives the same bytes.

    Raises:
        UserError: another ending, a column with a reserved name, or a path that can't be written.
    """
    taken = [name for name in table.columns if name in RESERVED or name in NPZ_NAMES.values()]
    if taken:
        raise UserError(f"a column can't be called {printable(taken[0])} here; rename it")
    encode = {".npz": _encode_npz, ".parquet": _encode_parquet}.get(path.suffix)
    if encode is None:
        raise UserError(f"{path}: its name must end in {' or '.join(ENDINGS)}")
    try:
        write_atomic(path, encode(table))
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error


def read_table(path: Path) -> EmbeddingTable:
    """Read a table that `write_table` wrote.

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    raise UserError(f"{path}: its name must end in {' or '.join(ENDINGS)}; give {KIND}")


def _encode_npz(table: EmbeddingTable) -> bytes:
    arrays = {NPZ_NAMES.get(name, name): column for name, column in table.columns.items()}
    if table.fingerprint is not None:
        arrays["fingerprint"] = np.array(table.fingerprint)
    buffer = io.BytesIO()
    # NumPy dates every member of the archive 1980: the bytes are a function of the arrays.
    np.savez(buffer, allow_pickle=False, features=table.features, **arrays)
    return buffer.getvalue()


def _read_npz(path: Path) -> EmbeddingTable:
    names = array_names(path, KIND)
    arrays = read_npz(path, sorted({"features", "paths"} | names), KIND)
    features, fingerprint = arrays.pop("features"), arrays.pop("fingerprint", None)
    own = {array: column for column, array in NPZ_NAMES.items()}
    columns = {own.get(name, name): array for name, array in arrays.items()}
    return _checked(path, features, columns, None if fingerprint is None else str(fingerprint))


def _encode_parquet(table: EmbeddingTable) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(table.features, np.float32).reshape(-1)),
        table.features.shape[1],
    )
    columns = {name: pa.array(column) for name, column in table.columns.items()}
    header = json.dumps({"fingerprint": table.fingerprint}).encode()
    whole = pa.table(columns | {"embedding": vectors}).replace_schema_metadata({METADATA: header})
    buffer = io.BytesIO()
    # Random bits don't compress: dictionaries and Snappy would cost time alone.
    pq.write_table(whole, buffer, compression={"embedding": "none"}, use_dictionary=False)
    return buffer.getvalue()


def _read_parquet(path: Path) -> EmbeddingTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pmm_jax.files import open_regular

    try:
        with open_regular(path) as file:
            whole = pq.read_table(file)
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}; give {KIND}") from error
    except pa.ArrowException as error:
        raise UserError(f"{path} is no parquet file, or damaged; give {KIND}") from error
    return table_of_arrow(path, whole)


def table_of_arrow(path: Path, whole: pyarrow.Table) -> EmbeddingTable:
    """The table in a parquet file's columns.

    Raises:
        UserError: it lacks path or embedding, or holds a column of another type.
    """
    lacking = [name for name in ("path", "embedding") if name not in whole.column_names]
    if lacking:
        raise UserError(f"{path} lacks the column {lacking[0]}; give {KIND}")
    header = (whole.schema.metadata or {}).get(METADATA, b"{}")
    vectors = whole["embedding"].combine_chunks()
    features = np.asarray(vectors.flatten()).reshape(len(vectors), -1)
    columns = {
        name: np.asarray(whole[name].to_pylist())
        if str(whole.schema.field(name).type) in ("string", "large_string")
        else whole[name].to_numpy()
        for name in whole.column_names
        if name != "embedding"
    }
    return _checked(path, features, columns, json.loads(header).get("fingerprint"))


def _checked(
    path: Path, features: np.ndarray, columns: dict[str, np.ndarray], fingerprint: str | None
) -> EmbeddingTable:
    if features.ndim != 2 or features.dtype != np.float32 or 0 in features.shape:
        raise UserError(f"{path}: its embeddings have shape {features.shape}; give {KIND}")
    for name, column in columns.items():
        if column.shape != (len(features),) or column.dtype.kind not in "ifU":
            raise UserError(
                f"{path}: column {printable(name)} must hold a number or text for each of its "
                f"{len(features)} images"
            )
    return EmbeddingTable(features, columns, fingerprint)
