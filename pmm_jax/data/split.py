"""A prepared split: its labels from the index, its encoded images by random access."""

import hashlib
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from pmm_jax.config import DataConfig
from pmm_jax.data.datasets import get_dataset
from pmm_jax.data.images import one_line
from pmm_jax.data.index import DamagedError, Index, check_files, read_index
from pmm_jax.data.records import SPLITS
from pmm_jax.errors import UserError


def prepared_folder(config: DataConfig) -> Path:
    """Folder of this data set's prepared form, which may not exist yet.

    The name carries a hash of what decides the content, so that two roots, or two fractions of one
    root, never share a folder, and one root has one folder however its path is written.
    """
    key = [config.name, os.path.realpath(os.path.expanduser(config.root))]
    key += get_dataset(config).variant()
    if config.cameras == "ignore":
        key.append("cameras ignored")
    if config.allow_duplicates:
        key.append("duplicates allowed")
    digest = hashlib.sha256(os.fsencode("\n".join(key))).hexdigest()[:8]
    return Path(config.cache_dir).expanduser() / f"{config.name}-{digest}"


class EncodedImages(Protocol):
    """Images by position, for many threads at once."""

    def __getitem__(self, index: int, /) -> bytes:
        """One encoded image."""


class PreparedImages:
    """Encoded images of a prepared split, each compared with its checksum as it is read."""

    def __init__(self, folder: Path, index: Index, split: str) -> None:
        """Reads no record.

        Raises:
          DamagedError: the files that describe the records aren't what they were.
        """
        # Imported late: half a second that commands which read no images need not pay.
        import tensorflow_datasets as tfds

        check_files(folder, index, ".json")
        builder = tfds.builder_from_directory(folder / index.records)
        self._checksums = index.splits[split].checksums
        self._files = [Path(file) for file in builder.info.splits[split].filepaths]
        self._ends = np.cumsum(builder.info.splits[split].shard_lengths)
        self._records = builder.as_data_source(
            split, decoders={"image": tfds.decode.SkipDecoding()}
        )

    def __getitem__(self, index: int) -> bytes:
        """The encoded image of one record.

        Raises:
          DamagedError: it isn't what it was.
        """
        try:
            image = self._records[index]["image"]
        # array_record and tfds raise many types on damaged files.
        except Exception as error:
            raise DamagedError(self._file(index), one_line(error)) from error
        if zlib.crc32(image) != self._checksums[index]:
            raise DamagedError(self._file(index), f"record {index} has another checksum")
        return image

    def _file(self, index: int) -> Path:
        return self._files[int(np.searchsorted(self._ends, index, side="right"))]


@dataclass(frozen=True, eq=False)
class Split:
    """One prepared split, in a fixed order (that of the sorted files, or of the set's lists)."""

    name: str
    """`train`, `query` or `gallery`."""
    identities: np.ndarray
    """(N,) int64."""
    cameras: np.ndarray
    """(N,) int64; negative and unique to the image where no camera is known."""
    filenames: list[str]
    """Paths relative to the data set's root."""
    names: dict[int, str]
    """Name of each identity, where the data set names them by more than a number."""
    fingerprint: str
    """Hash of the whole set: its names, labels and images."""
    source: EncodedImages = field(repr=False)
    """The images themselves."""
    camera_names: dict[int, str] = field(default_factory=dict)
    """Name of each camera, where the data set names them by more than a number."""

    def __len__(self) -> int:
        return len(self.filenames)

    def read(self, index: int) -> bytes:
        """One encoded image; may be called from many threads at once.

        Raises:
          DamagedError: the prepared form is damaged.
        """
        return self.source[index]


def open_split(config: DataConfig, split: str) -> Split:
    """Open a prepared split without a pass over its records.

    Raises:
      UserError: the data set is not prepared, damaged, or has no images in this split.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    folder = prepared_folder(config)
    index = read_index(folder)
    if index is None:
        raise UserError(
            f"{config.name} from {config.root} is not prepared under {config.cache_dir}; "
            "run python -m pmm_jax prepare with the same config"
        )
    columns = index.splits[split]
    if not columns.filenames:
        raise UserError(
            f"{config.root} has no {split} images; add some, and run python -m pmm_jax prepare"
        )
    return Split(
        name=split,
        identities=np.asarray(columns.identities, np.int64),
        cameras=np.asarray(columns.cameras, np.int64),
        filenames=columns.filenames,
        names=index.names,
        camera_names=index.camera_names,
        fingerprint=index.fingerprint,
        source=PreparedImages(folder, index, split),
    )
