"""A gallery: embedded images in a folder, or in an engine past one machine, to search in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError
from pmm_jax.files import printable
from pmm_jax.search.exact import Distance

MILVUS = "milvus://"
"""What the address of a gallery in Milvus begins with; any other is a folder."""
KINDS = {"i": "integers", "f": "numbers", "U": "text"}
"""What a column holds, by its type in NumPy."""
DTYPES: dict[str, type] = {"integers": np.int64, "numbers": np.float64, "text": np.str_}
Value = int | float | str
Progress = Callable[[int], None]
"""Called with the number of images done since its last call."""


@dataclass(frozen=True)
class Maker:
    """The model that embeds a gallery's images."""

    address: str
    """Where it was when the gallery was made: a folder, a file, or hf://OWNER/NAME."""
    fingerprint: str
    """`Model.fingerprint`."""
    distance: Distance
    """As its config evaluates."""


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery says of itself."""

    address: str
    """A folder, or milvus://HOST:PORT/NAME."""
    images: int
    """Number of its images."""
    length: int
    """Length of an embedding."""
    columns: dict[str, str]
    """What each column holds, by name: `integers`, `numbers` or `text`."""
    maker: Maker
    """The model that embeds its images."""
    created: str
    """Date and time, ISO 8601, UTC."""
    version: int
    """Changes that it has seen, its creation included."""


class Result(NamedTuple):
    """An image that a search found."""

    rank: int
    """From 1."""
    path: str
    """Path of the image, as the gallery has it."""
    distance: float
    """Euclidean, of unit-length embeddings where the gallery's distance is cosine."""
    columns: dict[str, Value]
    """All that the gallery knows of it, its path included."""


class Added(NamedTuple):
    """What `Gallery.add` did."""

    new: int
    """Images whose path was not there."""
    replaced: int
    """Images whose path was there already."""


class Gallery(ABC):
    """Embedded images of one model, kept by an engine.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> from pmm_jax.search.gallery import Gallery
        >>> from pmm_jax.search.model import maker_of
        >>> table = read_table(Path("people.npz"))
        >>> people = Gallery.create("people", table, maker_of(model, "runs/demo"))
        >>> people = Gallery.open("people")
        >>> people.info().images, people.info().columns["camera"]
        (72, 'integers')
        >>> [found] = people.search(table.features[:1], top=2, where="camera != 1")
        >>> found[0].rank, found[0].path, found[0].columns["id"], round(found[0].distance, 2)
        (1, '1_c3_0.jpg', 1, 3.11)
        >>> people.add(table.take(np.arange(3)))  # paths that are there are replaced
        Added(new=0, replaced=3)
        >>> people.remove([found[0].path]), people.remove(where="camera == 2")
        (1, 24)
        >>> count, rows = people.images(where="id == 1", count=1)
        >>> count, rows[0]["path"]
        (3, '1_c1_0.jpg')
        >>> people.prepare()  # before many searches
    """

    @staticmethod
    def create(
        address: str, table: EmbeddingTable, maker: Maker, progress: Progress | None = None
    ) -> Gallery:
        """Make a gallery of a table's images, whole or not at all.

        Args:
            address: a folder that is new or empty, or milvus://HOST:PORT/NAME.
            table: its first images, which settle its columns; embedded by `maker`.
            maker: the model.
            progress: told of images written.

        Raises:
            UserError: there is something already, or a table that can't be kept.
        """
        return _engine(address).make(address, table, maker, progress)

    @staticmethod
    def open(address: str) -> Gallery:
        """The gallery at an address.

        Args:
            address: as of `create`.

        Raises:
            UserError: there is none, or it is damaged.
        """
        return _engine(address).at(address)

    @classmethod
    @abstractmethod
    def make(
        cls, address: str, table: EmbeddingTable, maker: Maker, progress: Progress | None
    ) -> Gallery:
        """`create`, of one engine."""

    @classmethod
    @abstractmethod
    def at(cls, address: str) -> Gallery:
        """`open`, of one engine."""

    @abstractmethod
    def info(self) -> GalleryInfo:
        """What the gallery says of itself, as of now."""

    @abstractmethod
    def add(self, table: EmbeddingTable, progress: Progress | None = None) -> Added:
        """Add a table's images, all or none: they are on the disk when this returns.

        One whose path is there already replaces it, in its place.

        Args:
            table: with the gallery's columns, embedded by its model.
            progress: told of images written.

        Raises:
            UserError: another model's table, or one of other columns; another process that writes
                for long.
        """

    @abstractmethod
    def remove(self, paths: Sequence[str] = (), where: str | None = None) -> int:
        """Remove images, all or none; nothing of them stays on the disk.

        Args:
            paths: of images to remove.
            where: a condition (docs/guides/search.md); images that meet it are removed, too.

        Returns:
            How many were removed.

        Raises:
            UserError: a path that isn't there, no sound condition, or as of `add`.
        """

    @abstractmethod
    def search(
        self, features: np.ndarray, top: int = 10, where: str | None = None
    ) -> list[list[Result]]:
        """The nearest images of each query.

        Args:
            features: (Q, D) float32, by the gallery's model.
            top: images of each list; fewer where there are fewer.
            where: a condition (docs/guides/search.md) that images must meet to be ranked.

        Raises:
            UserError: embeddings of another length, or no sound condition.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Get ready for many searches, which takes seconds of a large gallery, and memory."""

    @abstractmethod
    def images(
        self, where: str | None = None, start: int = 0, count: int = 10
    ) -> tuple[int, list[dict[str, Value]]]:
        """What the gallery knows of some of its images, in its own order.

        Args:
            where: a condition (docs/guides/search.md) that they must meet.
            start: leave out so many of these.
            count: images, at most.

        Returns:
            How many meet it in all, and the columns of those asked for.

        Raises:
            UserError: no sound condition.
        """

    def check_table(self, info: GalleryInfo, table: EmbeddingTable) -> None:
        """Refuse a table that can't be added.

        Raises:
            UserError: another model's, other columns, another length, or a path twice.
        """
        self.check_model(table.fingerprint, "the table")
        kinds = kinds_of(table)
        if kinds != info.columns:
            raise UserError(_difference(kinds, info.columns))
        if table.features.shape[1] != info.length:
            raise UserError(
                f"the table's embeddings have length {table.features.shape[1]}, and the gallery's "
                f"{info.length}; embed both with the same model"
            )

    def check_model(self, fingerprint: str | None, what: str) -> None:
        """Refuse what another model has embedded.

        Args:
            fingerprint: of that model.
            what: it embedded, for the message.

        Raises:
            UserError: it is another model's, or nobody knows whose.
        """
        info = self.info()
        maker = info.maker
        if fingerprint == maker.fingerprint:
            return
        theirs = "an unknown model" if fingerprint is None else f"model {fingerprint[:12]}"
        raise UserError(
            f"{what} is of {theirs}, and {printable(info.address)} was made by model "
            f"{maker.fingerprint[:12]} ({printable(maker.address)}); use that model, or make "
            "another gallery"
        )


def _engine(address: str) -> type[Gallery]:
    if address.startswith(MILVUS):
        from pmm_jax.search.milvus import MilvusGallery

        return MilvusGallery
    from pmm_jax.search.embedded import EmbeddedGallery

    return EmbeddedGallery


def kinds_of(table: EmbeddingTable) -> dict[str, str]:
    """Kind of each column of a table, `path` first, once its images can be kept.

    Raises:
        UserError: a path twice, or one that isn't UTF-8.
    """
    paths, counts = np.unique(table.columns["path"], return_counts=True)
    if len(paths) < len(table):
        twice = printable(str(paths[counts > 1][0]))
        raise UserError(f"{twice} is in the table twice; a gallery has each path once")
    names = ["path", *(name for name in table.columns if name != "path")]
    for name in names:
        if table.columns[name].dtype.kind != "U":
            continue
        for value in table.columns[name]:
            try:
                str(value).encode()
            except UnicodeEncodeError:
                raise UserError(f"{printable(str(value))} is not UTF-8; rename it") from None
    return {name: KINDS[table.columns[name].dtype.kind] for name in names}


def _difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    for name, kind in wanted.items():
        if name not in found:
            return f"the table lacks the column {printable(name)}, which the gallery has; add it"
        if found[name] != kind:
            return (
                f"column {printable(name)} holds {found[name]} in the table, and {kind} in the "
                "gallery; convert it"
            )
    new = printable(next(name for name in found if name not in wanted))
    return f"the gallery has no column {new}; leave it out, or make another gallery"
