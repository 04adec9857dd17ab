"""A gallery in a folder: one SQLite file, and exact search in memory.

SQLite keeps rows and embeddings together: an `add` is one transaction, so that a process killed in
it leaves nothing, and a second writer waits. It is part of Python, and imports in milliseconds.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError
from pmm_jax.files import printable, user_path
from pmm_jax.search.exact import ExactIndex
from pmm_jax.search.gallery import (
    DTYPES,
    Added,
    Gallery,
    GalleryInfo,
    Maker,
    Progress,
    Result,
    Value,
    kinds_of,
)
from pmm_jax.search.where import parse_where

FILE = "gallery.sqlite"
FORMAT = 1
APPLICATION = 0x706D6D67
"""Number in the file's header by which it is known: pmmg."""
PAGE = 65536
"""Bytes of a page, so that most embeddings lie in one."""
PATIENCE = 30.0
"""Seconds for which a writer waits for another one."""
TYPES = {"integers": "INTEGER", "numbers": "REAL", "text": "TEXT"}
RESERVED = ("_rowid_", "embedding")
"""Names that no column can have, in any case."""
STEP = 256
"""Images written between two calls of progress."""


class _Snapshot(NamedTuple):
    """A gallery's images as of one version."""

    version: int
    columns: dict[str, np.ndarray]
    exact: ExactIndex | None
    """None where there are no images."""


class EmbeddedGallery(Gallery):
    """A gallery in a folder."""

    def __init__(self, address: str) -> None:
        self._address, self._path = address, user_path(address) / FILE
        self._snapshot: _Snapshot | None = None
        self._is_prepared = False

    @classmethod
    def make(
        cls, address: str, table: EmbeddingTable, maker: Maker, progress: Progress | None
    ) -> EmbeddedGallery:
        """A new gallery, in a folder that is new or empty."""
        kinds = kinds_of(table)
        _check_names(kinds)
        gallery = cls(address)
        folder = gallery._path.parent
        if folder.exists() and not (folder.is_dir() and _is_free(folder)):
            raise _taken(address)
        folder.mkdir(parents=True, exist_ok=True)
        gallery._fill(table, maker, kinds, progress)
        return gallery

    @classmethod
    def at(cls, address: str) -> EmbeddedGallery:
        """The gallery in a folder."""
        gallery = cls(address)
        gallery.info()
        return gallery

    def info(self) -> GalleryInfo:
        """What the file says of the gallery."""
        with self._transaction() as connection:
            return self._info(connection)

    def add(self, table: EmbeddingTable, progress: Progress | None = None) -> Added:
        """Add images in one transaction."""
        with self._transaction(is_write=True) as connection:
            info = self._info(connection)
            self.check_table(info, table)
            _insert(connection, table, info.columns, progress)
            images = _count(connection)
            _bump(connection)
        new = images - info.images
        return Added(new, len(table) - new)

    def remove(self, paths: Sequence[str] = (), where: str | None = None) -> int:
        """Remove images in one transaction."""
        condition = None if where is None else parse_where(where)
        with self._transaction(is_write=True) as connection:
            info = self._info(connection)
            columns = _columns(connection, info.columns)
            missing = sorted({*paths} - {*columns["path"].tolist()})
            if missing:
                raise UserError(
                    f"{printable(self._address)} has no image {printable(missing[0])}; nothing was "
                    "removed"
                )
            gone = np.isin(columns["path"], list(paths))
            if condition is not None:
                gone |= condition.rows(columns)
            some = ((path,) for path in columns["path"][gone].tolist())
            connection.executemany("DELETE FROM images WHERE path = ?", some)
            _bump(connection)
        return int(gone.sum())

    def search(
        self, features: np.ndarray, top: int = 10, where: str | None = None
    ) -> list[list[Result]]:
        """The nearest images, in the evaluator's order."""
        _, columns, exact = self._current()
        rows = None if where is None else np.flatnonzero(parse_where(where).rows(columns))
        if exact is None:
            return [[] for _ in features]
        return [
            [
                Result(
                    rank,
                    str(columns["path"][row]),
                    float(distance),
                    {name: column[row].item() for name, column in columns.items()},
                )
                for rank, (row, distance) in enumerate(zip(*found, strict=True), 1)
            ]
            for found in exact.nearest(features, top, rows)
        ]

    def prepare(self) -> None:
        """Read the gallery; from now on a large one is encoded whenever it is read."""
        self._is_prepared = True
        exact = self._current().exact
        if exact is not None:
            exact.prepare()

    def images(
        self, where: str | None = None, start: int = 0, count: int = 10
    ) -> tuple[int, list[dict[str, Value]]]:
        """Columns of images in the order in which they were first added."""
        columns = self._current().columns
        rows = np.arange(len(columns["path"]))
        if where is not None:
            rows = np.flatnonzero(parse_where(where).rows(columns))
        shown = [
            {name: column[row].item() for name, column in columns.items()}
            for row in rows[start : start + count]
        ]
        return len(rows), shown

    def _current(self) -> _Snapshot:
        """The images in memory, read anew where another process has changed them."""
        with self._transaction() as connection:
            version = _version(connection)
            if self._snapshot is not None and self._snapshot.version == version:
                return self._snapshot
            info = self._info(connection)
            features, columns = _read(connection, info)
        index = ExactIndex(features, info.maker.distance) if len(features) else None
        if index is not None and self._is_prepared:
            index.prepare()
        self._snapshot = _Snapshot(version, columns, index)
        return self._snapshot

    def _info(self, connection: sqlite3.Connection) -> GalleryInfo:
        said = json.loads(connection.execute("SELECT value FROM gallery").fetchone()[0])
        if said["format"] != FORMAT:
            raise UserError(
                f"{printable(self._address)} is a gallery of format {said['format']!r}, and this "
                f"version of pmm_jax reads format {FORMAT}; use the version that wrote it"
            )
        return GalleryInfo(
            self._address,
            _count(connection),
            said["length"],
            said["columns"],
            Maker(**said["maker"]),
            said["created"],
            _version(connection),
        )

    def _fill(
        self, table: EmbeddingTable, maker: Maker, kinds: dict[str, str], progress: Progress | None
    ) -> None:
        said = {
            "format": FORMAT,
            "length": table.features.shape[1],
            "columns": kinds,
            "maker": asdict(maker),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        columns = ", ".join(f"{_quoted(name)} {TYPES[kind]}" for name, kind in kinds.items())
        with self._transaction(is_write=True, is_new=True) as connection:
            if _is_gallery(connection):
                raise _taken(self._address)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute("CREATE TABLE gallery (value TEXT NOT NULL)")
            connection.execute("INSERT INTO gallery VALUES (?)", (json.dumps(said),))
            connection.execute(
                f"CREATE TABLE images ({columns}, embedding BLOB NOT NULL, UNIQUE (path))"
            )
            _insert(connection, table, kinds, progress)
            _bump(connection)

    @contextmanager
    def _transaction(
        self, is_write: bool = False, is_new: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction, which is on the disk when this ends without an error.

        Raises:
            UserError: there is no gallery, it is damaged, or another process writes for long.
        """
        name = printable(self._address)
        if not is_new and not self._path.is_file():
            raise UserError(f"{name} is no gallery; make one: pmm gallery create")
        mode = "rwc" if is_new else "rw"
        uri = f"file:{quote(str(self._path.absolute()))}?mode={mode}"
        try:
            with closing(
                sqlite3.connect(uri, timeout=PATIENCE, uri=True, isolation_level=None)
            ) as connection:
                # What a stranger's file defines runs no function but SQLite's harmless ones.
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA secure_delete = ON")
                if is_new:
                    connection.execute(f"PRAGMA page_size = {PAGE}")
                connection.execute("BEGIN IMMEDIATE" if is_write else "BEGIN")
                if not is_new and not _is_gallery(connection):
                    raise UserError(f"{name} is no gallery; make one: pmm gallery create")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise UserError(
                    f"another process has been writing to {name} for {PATIENCE:.0f} s; try again"
                ) from error
            raise UserError(
                f"{name} can't be used as a gallery ({printable(str(error))}); see that the disk "
                "has room and the folder may be written, or make it again: pmm gallery create"
            ) from error


def _is_free(folder: Path) -> bool:
    """Whether a gallery can be made in a folder: there is nothing, or one that never was whole."""
    return all(file.name.startswith(FILE) for file in folder.iterdir())


def _is_gallery(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION)


def _taken(address: str) -> UserError:
    return UserError(
        f"{printable(address)} is there already; name a new folder, or add to a gallery: "
        "pmm gallery add"
    )


def _check_names(kinds: dict[str, str]) -> None:
    folded = [name.lower() for name in kinds]
    for name in kinds:
        if name.lower() in RESERVED or folded.count(name.lower()) > 1 or "\0" in name or not name:
            raise UserError(f"a column can't be called {printable(name)} in a gallery; rename it")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _insert(
    connection: sqlite3.Connection,
    table: EmbeddingTable,
    kinds: dict[str, str],
    progress: Progress | None,
) -> None:
    names = [*kinds, "embedding"]
    columns = ", ".join(map(_quoted, names))
    marks = ", ".join("?" * len(names))
    new = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in names)
    statement = (
        f"INSERT INTO images ({columns}) VALUES ({marks}) ON CONFLICT (path) DO UPDATE SET {new}"
    )
    for start in range(0, len(table), STEP):
        some = table.take(np.arange(start, min(start + STEP, len(table))))
        vectors = np.ascontiguousarray(some.features, "<f4")
        values = [some.columns[name].tolist() for name in kinds]
        connection.executemany(statement, zip(*values, vectors, strict=True))
        if progress is not None:
            progress(len(some))


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM images").fetchone()[0])


def _bump(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA user_version = {_version(connection) + 1}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _columns(connection: sqlite3.Connection, kinds: dict[str, str]) -> dict[str, np.ndarray]:
    names = ", ".join(map(_quoted, kinds))
    rows = connection.execute(f"SELECT {names} FROM images ORDER BY _rowid_").fetchall()
    return _arrays(rows, kinds)


def _arrays(rows: Sequence[Sequence[Any]], kinds: dict[str, str]) -> dict[str, np.ndarray]:
    values = zip(*rows, strict=True) if rows else [()] * len(kinds)
    return {
        name: np.array(column, DTYPES[kind])
        for (name, kind), column in zip(kinds.items(), values, strict=True)
    }


def _read(
    connection: sqlite3.Connection, info: GalleryInfo
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Embeddings (N, D) float32 and columns, in the order in which paths were first added."""
    features = np.empty((info.images, info.length), np.float32)
    names = ", ".join(map(_quoted, [*info.columns, "embedding"]))
    rows = []
    found = connection.execute(f"SELECT {names} FROM images ORDER BY _rowid_")
    for number, (*row, vector) in enumerate(found):
        features[number] = np.frombuffer(vector, "<f4")
        rows.append(row)
    return features, _arrays(rows, info.columns)
