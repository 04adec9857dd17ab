"""A table of embedded images: what `pmm embed` writes, and galleries, links and eval.py read.

Two forms hold the same: npz, in the names that eval.py reads, and parquet, a row an image. Both are
written block by block, so that a table need not be in memory as a whole.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy

from pmm_jax.errors import UserError
from pmm_jax.files import atomic_file, printable
from pmm_jax.npz import array_names, read_npz

if TYPE_CHECKING:
    import pyarrow

ENDINGS = (".npz", ".parquet")
KIND = "a file that pmm embed wrote"
NPZ_NAMES = {"path": "paths", "id": "ids", "camera": "cameras"}
"""Columns whose array in an npz file has another name, which eval.py reads."""
RESERVED = ("features", "fingerprint", "shard", "embedding")
"""Names that no column can have."""
METADATA = b"pmm_jax"
"""Key of a parquet file's metadata; its value is JSON."""
GROUP = 8192
"""Images a row group of a parquet file."""


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Embedded images and what is known of each.

    Example:
        >>> from pmm_jax.embedding_table import EmbeddingTable
        >>> paths = np.array(["a.jpg", "b.jpg"])
        >>> table = EmbeddingTable(
        ...     model.embed(paths.tolist()),
        ...     {"path": paths, "id": np.array([7, 8]), "camera": np.array([1, 2])},
        ...     model.fingerprint,
        ... )
        >>> len(table), len(table.take(table.columns["camera"] == 2))
        (2, 1)
    """

    features: np.ndarray
    """(N, D) float32, as the model gives them: not normalized."""
    columns: dict[str, np.ndarray]
    """By name, (N,) int64, float64 or str each. `path` is always there; `id`, `camera`, `frame` and
    others where the source had them."""
    fingerprint: str | None = None
    """`Model.fingerprint` of the model that embedded them; None where it is unknown."""
    shard: tuple[int, int] | None = None
    """(2, 3) for the second of three shards of a source; None of a whole one."""

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: np.ndarray) -> EmbeddingTable:
        """Some of the images: indices, or a mask."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return EmbeddingTable(self.features[rows], columns, self.fingerprint)


@dataclass(frozen=True)
class TableHeader:
    """What a table holds besides its rows."""

    fingerprint: str | None
    """As of `EmbeddingTable`."""
    shard: tuple[int, int] | None = None
    """Likewise."""


def write_table(path: Path, table: EmbeddingTable) -> None:
    """Write a table, whole or not at all; the same table gives the same bytes.

    Args:
        path: of the file, .npz or .parquet.
        table: what is written.

    Raises:
        UserError: as `write_blocks`.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import EmbeddingTable, read_table, write_table
        >>> columns = {"path": np.array(["a.jpg", "b.jpg"])}
        >>> table = EmbeddingTable(np.eye(2, 8, dtype=np.float32), columns)
        >>> write_table(Path("photos.npz"), table)
        >>> read_table(Path("photos.npz")).columns["path"].tolist()
        ['a.jpg', 'b.jpg']
    """
    header = TableHeader(table.fingerprint, table.shard)
    write_blocks(path, table.columns, header, [table.features], table.features.shape[1])


def write_blocks(
    path: Path,
    columns: Mapping[str, np.ndarray],
    header: TableHeader,
    blocks: Iterable[np.ndarray],
    length: int,
) -> None:
    """Write a table whose features come block by block: the bytes are those of `write_table`.

    Args:
        path: of the file.
        columns: of all rows.
        header: all else.
        blocks: features (n, length) float32 of some rows each, in order.
        length: of an embedding.

    Raises:
        UserError: another ending, a column with a reserved name, or a path that can't be written.
    """
    check_columns(columns)
    check_ending(path)
    write = _write_npz if path.suffix == ".npz" else _write_parquet
    # In one order, and as wide as the longest text: what is cut from a table and joined again gives
    # its bytes.
    narrow = {
        name: np.array(columns[name].tolist()) if columns[name].dtype.kind == "U" else columns[name]
        for name in sorted(columns, key=lambda name: (name != "path", name))
    }
    try:
        with atomic_file(path) as file:
            write(file, narrow, header, blocks, length)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error


def check_ending(path: Path) -> None:
    """Refuse a file that is named as no table is.

    Raises:
        UserError: its name has another ending.
    """
    if path.suffix not in ENDINGS:
        raise UserError(f"{path}: its name must end in {' or '.join(ENDINGS)}")


def check_columns(columns: Iterable[str]) -> None:
    """Refuse names of columns that a table has for itself.

    Raises:
        UserError: there is one.
    """
    taken = [name for name in columns if name in RESERVED or name in NPZ_NAMES.values()]
    if taken:
        raise UserError(f"a column can't be called {printable(taken[0])} here; rename it")


def read_table(path: Path) -> EmbeddingTable:
    """Read a table that `write_table` or `pmm embed` wrote.

    Args:
        path: of the file, .npz or .parquet.

    Raises:
        UserError: there is no such file, or it holds something else.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> table = read_table(Path("people.npz"))  # pmm embed runs/demo people.csv people.npz
        >>> table.features.shape, sorted(table.columns)
        ((72, 16), ['camera', 'id', 'path', 'split', 'time', 'track'])
    """
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    raise UserError(f"{path}: its name must end in {' or '.join(ENDINGS)}; give {KIND}")


def _write_npz(
    file: IO[bytes],
    columns: Mapping[str, np.ndarray],
    header: TableHeader,
    blocks: Iterable[np.ndarray],
    length: int,
) -> None:
    arrays = {NPZ_NAMES.get(name, name): column for name, column in columns.items()}
    if header.fingerprint is not None:
        arrays["fingerprint"] = np.array(header.fingerprint)
    if header.shard is not None:
        arrays["shard"] = np.array(header.shard)
    shape = (len(columns["path"]), length)
    # As numpy.savez does it, which dates every member 1980: the bytes depend on the arrays alone.
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            said = {"descr": "<f4", "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(member, said)
            for block in blocks:
                member.write(np.ascontiguousarray(block, "<f4").data)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def _read_npz(path: Path) -> EmbeddingTable:
    names = array_names(path, KIND)
    arrays = read_npz(path, sorted({"features", "paths"} | names), KIND)
    features, fingerprint = arrays.pop("features"), arrays.pop("fingerprint", None)
    shard = arrays.pop("shard", None)
    own = {array: column for column, array in NPZ_NAMES.items()}
    columns = {own.get(name, name): array for name, array in arrays.items()}
    said = TableHeader(
        None if fingerprint is None else str(fingerprint),
        None if shard is None else shard.tolist(),
    )
    return _checked(path, features, columns, said)


def _write_parquet(
    file: IO[bytes],
    columns: Mapping[str, np.ndarray],
    header: TableHeader,
    blocks: Iterable[np.ndarray],
    length: int,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = {name: pa.array(column) for name, column in columns.items()}
    kinds = {name: array.type for name, array in texts.items()}
    kinds["embedding"] = pa.list_(pa.float32(), length)
    said = {METADATA: json.dumps(asdict(header)).encode()}
    schema, done = pa.schema(kinds, metadata=said), 0
    # Random bits don't compress: dictionaries and Snappy would cost time alone.
    with pq.ParquetWriter(file, schema, use_dictionary=False, compression="none") as writer:
        for block in _blocks_of(blocks, GROUP):
            vectors = pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(block, np.float32).reshape(-1)), length
            )
            arrays = [array.slice(done, len(block)) for array in texts.values()]
            writer.write_table(pa.table([*arrays, vectors], schema=schema), len(block))
            done += len(block)


def _blocks_of(blocks: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The same rows in blocks of that many, the last one of the rest."""
    waiting: list[np.ndarray] = []
    count = 0
    for block in blocks:
        while count + len(block) >= rows:
            head, block = block[: rows - count], block[rows - count :]
            yield np.concatenate([*waiting, head]) if waiting else head
            waiting, count = [], 0
        waiting, count = [*waiting, block], count + len(block)
    if count:
        yield np.concatenate(waiting)


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
    header = (whole.schema.metadata or {}).get(METADATA, b'{"fingerprint": null}')
    vectors = whole["embedding"].combine_chunks()
    features = np.asarray(vectors.flatten()).reshape(len(vectors), -1)
    columns = {
        name: np.asarray(whole[name].to_pylist())
        if str(whole.schema.field(name).type) in ("string", "large_string")
        else whole[name].to_numpy()
        for name in whole.column_names
        if name != "embedding"
    }
    try:
        said = TableHeader(**json.loads(header))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: its metadata are no table's; give {KIND}") from error
    return _checked(path, features, columns, said)


def _checked(
    path: Path, features: np.ndarray, columns: dict[str, np.ndarray], header: TableHeader
) -> EmbeddingTable:
    if features.ndim != 2 or features.dtype != np.float32 or 0 in features.shape:
        raise UserError(f"{path}: its embeddings have shape {features.shape}; give {KIND}")
    for name, column in columns.items():
        if column.shape != (len(features),) or column.dtype.kind not in "ifU":
            raise UserError(
                f"{path}: column {printable(name)} must hold a number or text for each of its "
                f"{len(features)} images"
            )
    if header.shard is None:
        return EmbeddingTable(features, columns, header.fingerprint)
    try:
        number, count = map(int, header.shard)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: its shard is no I of N; give {KIND}") from error
    return EmbeddingTable(features, columns, header.fingerprint, (number, count))
