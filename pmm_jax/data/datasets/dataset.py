"""Base class of data sets, and the scan that is common to all."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pmm_jax.config import DataConfig
from pmm_jax.data.datasets.fence import fenced
from pmm_jax.data.images import read_image
from pmm_jax.data.records import UNKNOWN_CAMERA, Scan
from pmm_jax.errors import UserError


@dataclass(frozen=True)
class SplitSize:
    """Size of one split."""

    images: int
    """Images, identity -1 dropped."""
    identities: int
    """Identities, the distractors' identity 0 counted where a set has it."""
    cameras: int
    """Cameras, numbered as in the file names; 0 where none is known."""


class Dataset(abc.ABC):
    """A data set on disk; a subclass says how its root is read.

    Example:
        >>> from pmm_jax.config import DataConfig
        >>> from pmm_jax.data.datasets import UNKNOWN_CAMERA, Dataset, Record, Scan, register
        >>> @register
        ... class Toys(Dataset):
        ...     name = "toys"
        ...     where = "get it from ..."
        ...
        ...     def list_images(self):
        ...         splits = {"train": [], "query": [], "gallery": []}
        ...         for path in sorted(self.root.glob("*.png")):  # train-7-001.png
        ...             split, identity, _ = path.name.split("-")
        ...             splits[split].append(Record(path.name, int(identity), UNKNOWN_CAMERA))
        ...         return Scan(splits)
        >>> toys = Toys(DataConfig(name="toys", root="data/toys"))
        >>> toys.scan().splits["train"]
        [Record(path='train-7-001.png', identity=7, camera=-1)]
        >>> toys.reader()("train-7-001.png") == (toys.base / "train-7-001.png").read_bytes()
        True
        >>> toys.variant()  # no other config field decides the records
        ()
    """

    name: ClassVar[str]
    """Name of the data set in data.name."""
    where: ClassVar[str]
    """Download and folder of the data set, for the message that its root is missing."""
    published: ClassVar[Mapping[str, SplitSize]] = {}
    """Size of each split as published, by the set's own paper; empty where that isn't known."""
    accepts_file: ClassVar[bool] = False
    """Whether its root may be a file."""
    numbers_train_apart: ClassVar[bool] = False
    """Whether train numbers its identities apart, so that a number is shared by chance alone."""
    label_files: ClassVar[tuple[str, ...]] = ()
    """Files under the root on which its records may depend."""

    def __init__(self, config: DataConfig) -> None:
        """Reads nothing."""
        self.config = config
        self.root = Path(config.root)

    @abc.abstractmethod
    def list_images(self) -> Scan:
        """List the images of each split, with anything unusual about them; read no image.

        Cameras that aren't known are `UNKNOWN_CAMERA`. Paths that lead out of the root are refused
        by the caller.

        Raises:
            UserError: the root holds no such set.
            OSError: it can't be read.
        """

    def reader(self) -> Callable[[str], bytes]:
        """Function from a record's path to its encoded image, for any thread.

        Raises:
            UserError: what holds the images can't be opened.
        """
        base = self.base
        return lambda path: read_image(base / path)

    def variant(self) -> tuple[str, ...]:
        """Other config values that decide the records; part of the prepared form's name."""
        return ()

    @property
    def base(self) -> Path:
        """Folder that the records' paths are relative to."""
        return self.root.parent if self.root.is_file() else self.root

    def scan(self) -> Scan:
        """Records and problems of the set; paths stay inside the root, and no image is read.

        Raises:
            UserError: it is missing, empty, or can't be read.
        """
        try:
            found = self.list_images()
            ignore = self.config.cameras == "ignore"
            splits, problems = {}, list(found.problems)
            for split, records in found.splits.items():
                splits[split], escaped = fenced(self.base, records)
                problems += escaped
                if ignore:
                    splits[split] = [replace(r, camera=UNKNOWN_CAMERA) for r in splits[split]]
        except OSError as error:
            raise UserError(
                f"can't read {error.filename or self.root} ({error.strerror}); check data.root and "
                "its permissions"
            ) from error
        return Scan(splits, problems, found.names, {} if ignore else found.camera_names)
