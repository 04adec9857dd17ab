"""A gallery in Milvus, for what outgrows a machine: the same calls as of one in a folder.

A collection NAME holds the images, with a flat index, and NAME_about what the gallery says of
itself. Milvus finds a few more images than are wanted, and their distances in float64 order them,
as the evaluator does. It has no transactions: an `add` that is killed leaves what was written, and
the same command again writes the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError, missing_extra
from pmm_jax.evaluation.checks import feature_matrix
from pmm_jax.evaluation.distances import squared_distance
from pmm_jax.evaluation.expansion import unit_length
from pmm_jax.files import printable
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
from pmm_jax.search.where import Among, parse_where

ADDRESS = re.compile(r"milvus://([\w.-]+):(\d{1,5})/([A-Za-z_]\w{0,200})", re.ASCII)
COLUMN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
LONGEST_TEXT = 65535
"""Bytes of a text, the most that Milvus takes."""
STEP = 500
"""Images in a request."""
MOST_ROWS = 16384
"""Rows from the first on that Milvus lists."""
SPARE = 16
"""Images found beyond those wanted, which float32 may have put behind them."""
SECONDS = 30.0
"""For which a request may take."""
STRONG = {"consistency_level": "Strong"}
"""What was written before is read."""


class MilvusGallery(Gallery):
    """A gallery in Milvus."""

    def __init__(self, address: str) -> None:
        found = ADDRESS.fullmatch(address)
        if found is None:
            raise UserError(f"{printable(address)} is no address; give milvus://HOST:PORT/NAME")
        host, port, self._name = found.groups()
        self._address, self._about = address, f"{self._name}_about"
        with self._refusing():
            self._client = connect(f"http://{host}:{port}")

    @classmethod
    def make(
        cls, address: str, table: EmbeddingTable, maker: Maker, progress: Progress | None
    ) -> MilvusGallery:
        """A new gallery, under a name that is free."""
        kinds = kinds_of(table)
        for name in kinds:
            if COLUMN.fullmatch(name) is None or name == "embedding":
                raise UserError(
                    f"a column can't be called {printable(name)} in Milvus; use letters, digits "
                    "and _"
                )
        gallery = cls(address)
        said = {
            "length": table.features.shape[1],
            "columns": kinds,
            "maker": asdict(maker),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": 1,
        }
        with gallery._refusing():
            gallery._make_room()
            gallery._say(said, is_whole=False)
            gallery._make_collection(said)
            gallery._upsert(table, kinds, progress)
            gallery._say(said)
        return gallery

    @classmethod
    def at(cls, address: str) -> MilvusGallery:
        """The gallery of a name."""
        gallery = cls(address)
        with gallery._refusing():
            gallery._said()
            # A collection that was closed is not in memory.
            gallery._client.load_collection(gallery._name)
        return gallery

    def info(self) -> GalleryInfo:
        """What Milvus knows of the gallery."""
        with self._refusing():
            said, images = self._said(), self._count()
        return GalleryInfo(
            self._address,
            images,
            said["length"],
            said["columns"],
            Maker(**said["maker"]),
            said["created"],
            said["version"],
        )

    def add(self, table: EmbeddingTable, progress: Progress | None = None) -> Added:
        """Add images, request by request."""
        info = self.info()
        self.check_table(info, table)
        with self._refusing():
            self._upsert(table, info.columns, progress)
            self._bump()
            new = self._count() - info.images
        return Added(new, len(table) - new)

    def remove(self, paths: Sequence[str] = (), where: str | None = None) -> int:
        """Remove images."""
        info = self.info()
        conditions = [] if where is None else [self._checked(where, info)]
        names = sorted(set(paths))
        with self._refusing():
            for start in range(0, len(names), STEP):
                some = names[start : start + STEP]
                conditions.append(Among("path", tuple(some)).to_text())
                found = self._client.query(
                    self._name, conditions[-1], output_fields=["path"], **STRONG
                )
                missing = sorted({*some} - {row["path"] for row in found})
                if missing:
                    raise UserError(
                        f"{printable(self._address)} has no image {printable(missing[0])}; nothing "
                        "was removed"
                    )
            for condition in conditions:
                self._client.delete(self._name, filter=condition)
            self._bump()
            return info.images - self._count()

    def search(
        self, features: np.ndarray, top: int = 10, where: str | None = None
    ) -> list[list[Result]]:
        """The nearest images, as Milvus's index finds them."""
        info = self.info()
        features = feature_matrix("query features", features)
        if features.shape[1] != info.length:
            raise UserError(
                f"query features have length {features.shape[1]} and gallery features "
                f"{info.length}; embed both with the same model"
            )
        condition = "" if where is None else self._checked(where, info)
        with self._refusing():
            found = self._client.search(
                self._name,
                data=np.asarray(features, np.float32),
                filter=condition,
                limit=top + SPARE,
                output_fields=[*info.columns, "embedding"],
                **STRONG,
            )
        return [
            _ranked(query, [{**hit, **hit["entity"]} for hit in hits], info)[:top]
            for query, hits in zip(features, found, strict=True)
        ]

    def prepare(self) -> None:
        """Nothing is needed: Milvus keeps its index."""

    def images(
        self, where: str | None = None, start: int = 0, count: int = 10
    ) -> tuple[int, list[dict[str, Value]]]:
        """Columns of images in Milvus's order; those beyond the first MOST_ROWS can't be had."""
        info = self.info()
        condition = "" if where is None else self._checked(where, info)
        with self._refusing():
            images = self._count(condition)
            names, room = list(info.columns), MOST_ROWS - start
            if room < 1 or images <= start:
                return images, []
            found = self._client.query(
                self._name,
                condition,
                output_fields=names,
                offset=start,
                limit=min(count, room),
                **STRONG,
            )
        return images, [{name: row[name] for name in names} for row in found]

    def _checked(self, where: str, info: GalleryInfo) -> str:
        """A condition as Milvus takes it, once it fits the columns."""
        condition = parse_where(where)
        condition.rows({name: np.zeros(0, DTYPES[kind]) for name, kind in info.columns.items()})
        return condition.to_text()

    def _make_room(self) -> None:
        """Drop what a killed `create` left; refuse anything else that has the name."""
        if self._client.has_collection(self._about):
            if self._said(is_whole=False)["whole"]:
                raise UserError(
                    f"{printable(self._address)} is there already; add to it: pmm gallery add"
                )
            self._client.drop_collection(self._about)
            self._client.drop_collection(self._name)
        if self._client.has_collection(self._name):
            raise UserError(
                f"Milvus has a collection {self._name} that is no gallery; choose another name"
            )

    def _make_collection(self, said: dict[str, Any]) -> None:
        from pymilvus import DataType

        types = {
            "integers": {"datatype": DataType.INT64},
            "numbers": {"datatype": DataType.DOUBLE},
            "text": {"datatype": DataType.VARCHAR, "max_length": LONGEST_TEXT},
        }
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for name, kind in said["columns"].items():
            schema.add_field(name, is_primary=name == "path", **types[kind])
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=said["length"])
        metric = "COSINE" if said["maker"]["distance"] == "cosine" else "L2"
        self._create(self._name, schema, metric)

    def _create(self, name: str, schema: Any, metric: str) -> None:
        index = self._client.prepare_index_params()
        index.add_index("embedding", index_type="FLAT", metric_type=metric)
        self._client.create_collection(name, schema=schema, index_params=index)

    def _say(self, said: dict[str, Any], is_whole: bool = True) -> None:
        """Keep what the gallery says of itself: one row, with the vector that each must have."""
        from pymilvus import DataType

        if not self._client.has_collection(self._about):
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("key", DataType.VARCHAR, max_length=64, is_primary=True)
            schema.add_field("value", DataType.VARCHAR, max_length=LONGEST_TEXT)
            schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=2)
            self._create(self._about, schema, "L2")
        value = json.dumps({**said, "whole": is_whole})
        row = {"key": "gallery", "value": value, "embedding": [0.0, 0.0]}
        self._client.upsert(self._about, [row])

    def _said(self, is_whole: bool = True) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        if self._client.has_collection(self._about):
            self._client.load_collection(self._about)
            asked = 'key == "gallery"'
            rows = self._client.query(self._about, asked, output_fields=["value"], **STRONG)
        said: dict[str, Any] = json.loads(rows[0]["value"]) if rows else {"whole": False}
        if is_whole and not said["whole"]:
            raise UserError(
                f"{printable(self._address)} is no gallery; make one: pmm gallery create"
            )
        return said

    def _bump(self) -> None:
        said = self._said()
        self._say({**said, "version": said["version"] + 1})

    def _upsert(
        self, table: EmbeddingTable, kinds: dict[str, str], progress: Progress | None
    ) -> None:
        for start in range(0, len(table), STEP):
            some = table.take(np.arange(start, min(start + STEP, len(table))))
            values: list[np.ndarray] = [
                some.columns[name].astype(DTYPES[kind]) for name, kind in kinds.items()
            ]
            columns = [*(column.tolist() for column in values), some.features]
            rows = zip(*columns, strict=True)
            names = [*kinds, "embedding"]
            self._client.upsert(self._name, [dict(zip(names, row, strict=True)) for row in rows])
            if progress is not None:
                progress(len(some))

    def _count(self, condition: str = "") -> int:
        found = self._client.query(self._name, condition, output_fields=["count(*)"], **STRONG)
        return int(found[0]["count(*)"])

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """One line of what Milvus refuses.

        Raises:
            UserError: that line, or pymilvus is not installed.
        """
        try:
            from pymilvus.exceptions import MilvusException
        except ImportError:
            raise missing_extra("a gallery in Milvus", "milvus") from None
        try:
            yield
        except MilvusException as error:
            reason = printable(" ".join(str(error.message).split()))[:300]
            raise UserError(
                f"{printable(self._address)}: Milvus says: {reason}; see that it runs and has room"
            ) from error


def connect(uri: str) -> Any:
    """A client of Milvus."""
    from pymilvus import MilvusClient

    return MilvusClient(uri, timeout=SECONDS)


def _ranked(query: np.ndarray, rows: list[dict[str, Any]], info: GalleryInfo) -> list[Result]:
    """All that was found, by distance in float64; ties by path."""
    if not rows:
        return []
    embeddings = np.array([row["embedding"] for row in rows], np.float32)
    one = query[None]
    if info.maker.distance == "cosine":
        one, embeddings = unit_length("query", one), unit_length("gallery", embeddings)
    squares = squared_distance(embeddings, one[0])
    order = np.lexsort(([row["path"] for row in rows], squares))
    return [
        Result(
            rank,
            rows[row]["path"],
            float(np.sqrt(squares[row])),
            {name: rows[row][name] for name in info.columns},
        )
        for rank, row in enumerate(order.tolist(), 1)
    ]
