"""A prepared split: its labels from the index, its encoded images by random access."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.config import DataConfig
from pmm_jax.data.records import SPLITS
from pmm_jax.errors import UserError

INDEX = "index.json"
"""Labels, names and fingerprint, beside the records; written last, so its presence means done."""


def prepared_folder(config: DataConfig) -> Path:
    """Where this data set's prepared form lies, or will lie.

    The name carries a hash of what decides the content, so that two roots, or two fractions of one
    root, never share a folder.
    """
    key = [config.name, os.path.abspath(config.root)]
    if config.name == "folder":
        key.append(repr(float(config.train_fraction)))
    if config.cameras == "ignore":
        key.append("cameras ignored")
    if config.allow_duplicates:
        key.append("duplicates allowed")
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:8]
    return Path(config.prepared) / f"{config.name}-{digest}"


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index of a prepared folder, or None where nothing whole is there."""
    try:
        return json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(
            f"the index {folder / INDEX} is damaged ({error}); delete {folder} and prepare again"
        ) from error


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
    """Of the whole set: its names, labels and sizes."""
    source: Any = field(repr=False)
    """tfds data source of the records, images left encoded."""

    def __len__(self) -> int:
        return len(self.filenames)

    def read(self, index: int) -> bytes:
        """The encoded image of one record; may be called from many threads at once."""
        return self.source[index]["image"]


def open_split(config: DataConfig, split: str) -> Split:
    """Open a prepared split without a pass over its records.

    Raises:
      UserError: the data set is not prepared, or has no images in this split.
    """
    # Imported late: half a second that commands which read no images need not pay.
    import tensorflow_datasets as tfds

    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    folder = prepared_folder(config)
    index = read_index(folder)
    if index is None:
        raise UserError(
            f"{config.name} from {config.root} is not prepared under {config.prepared}; "
            "run python -m pmm_jax prepare with the same config"
        )
    listed = index["splits"][split]
    if not listed["filenames"]:
        raise UserError(
            f"{config.root} has no {split} images; add some, and run python -m pmm_jax prepare"
        )
    source = tfds.builder_from_directory(folder / index["records"]).as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    return Split(
        name=split,
        identities=np.asarray(listed["identities"], np.int64),
        cameras=np.asarray(listed["cameras"], np.int64),
        filenames=listed["filenames"],
        names={int(identity): name for identity, name in index["names"].items()},
        fingerprint=index["fingerprint"],
        source=source,
    )
