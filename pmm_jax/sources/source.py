"""What all sources of images have in common."""

import abc
import os
from collections.abc import Mapping

import numpy as np

from pmm_jax.pixels import pixels


class Source(abc.ABC):
    """Images in order, with what is known of each.

    Attributes:
        columns: by name, (N,) int64, float64 or str each; `path` is always there.
    """

    columns: Mapping[str, np.ndarray]
    is_sequential = False
    """Whether images are cheap to read in ascending order alone, and by one thread."""

    def __len__(self) -> int:
        return len(self.columns["path"])

    @abc.abstractmethod
    def image(self, row: int) -> np.ndarray:
        """The image of a row, (H, W, 3) uint8 RGB in its own size; on any thread.

        Raises:
            UserError: it can't be read; the message names it.
        """

    def pixels(self, row: int, image_size: tuple[int, int]) -> np.ndarray:
        """The image of a row resized to (height, width), as `Model.embed` does; raises likewise."""
        return pixels(self.image(row), image_size)

    @abc.abstractmethod
    def stamp(self, row: int) -> str:
        """What tells that a row's image has changed since; empty where there is none to read."""


def file_stamp(path: str) -> str:
    """Size of a file and time of its last change, of its mode too; empty where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a NUL in the path is a ValueError
        return ""
    return f"{status.st_size}-{status.st_ctime_ns}"
