"""The one pass over a data set's images: each is read, decoded and hashed once."""

import hashlib
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pmm_jax.data.datasets import Dataset
from pmm_jax.data.decode import to_rgb
from pmm_jax.data.images import ImageError, is_rotated, one_line, open_image
from pmm_jax.data.records import SPLITS, Problem, Record, Scan
from pmm_jax.files import printable

ROTATED = "EXIF rotation, which is not applied: the image is used as it is stored"

_AHEAD = 8
"""Images a thread that are read ahead of their consumer."""


class Hashes(NamedTuple):
    """Hashes of an encoded image."""

    sha256: str
    """Hexadecimal."""
    crc32: int


class SourceImages:
    """The images of a data set, read once, and what is known of them afterwards."""

    def __init__(self, dataset: Dataset, found: Scan) -> None:
        """Opens what holds the images; reads none.

        Raises:
            UserError: that can't be opened.
        """
        self.dataset = dataset
        self.found = found
        self.hashes: dict[str, list[Hashes | None]] = {split: [] for split in SPLITS}
        """By split, in its order; None where an image can't be used."""
        self._problems: dict[str, Problem] = {}
        self._read = dataset.reader()

    @property
    def problems(self) -> list[Problem]:
        """Problems of the images read so far; each image is named once."""
        return list(self._problems.values())

    def read(self, split: str) -> Iterator[tuple[Record, bytes]]:
        """Each record of a split with its encoded image, which is empty where it can't be used."""
        records, self.hashes[split] = self.found.splits[split], []
        workers = self.dataset.config.num_workers
        with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
            # PIL warns of corrupt EXIF data, which costs no pixel.
            warnings.filterwarnings("ignore", module="PIL")
            for start in range(0, len(records), workers * _AHEAD):
                some = records[start : start + workers * _AHEAD]
                checked = pool.map(self._checked, [record.path for record in some])
                for record, (image, hashes, problem) in zip(some, checked, strict=True):
                    self.hashes[split].append(hashes)
                    if problem:
                        self._problems[record.path] = problem
                    yield record, image

    def read_all(self) -> None:
        """Read every image for what is wrong with it alone."""
        for split in SPLITS:
            for _ in self.read(split):
                pass

    def _checked(self, path: str) -> tuple[bytes, Hashes | None, Problem | None]:
        try:
            image = self._read(path)
            with open_image(image) as opened:
                to_rgb(opened).load()
                rotated = is_rotated(opened)
        except ImageError as error:
            return b"", None, Problem(path, error.reason, True, error.hint, error.detail)
        except (OSError, ValueError) as error:
            return b"", None, self._unreadable(path, error)
        hashes = Hashes(hashlib.sha256(image).hexdigest(), zlib.crc32(image))
        return image, hashes, Problem(path, ROTATED, fatal=False) if rotated else None

    def _unreadable(self, path: str, error: OSError | ValueError) -> Problem:
        base = self.dataset.base
        if isinstance(error, FileNotFoundError) and (base / path).is_symlink():
            hint = "make it point to the image, or leave it out"
            return Problem(path, "is a link to a file that isn't there", True, hint)
        if isinstance(error, FileNotFoundError):
            hint = f"paths are relative to {base}; restore it, or take it off the list"
            return Problem(path, "no such image", True, hint)
        if isinstance(error, PermissionError):
            reason = "can't be read (permission denied)"
            return Problem(path, reason, True, "make it readable to you, with chmod u+r say")
        if isinstance(error, OSError):
            reason = f"can't be read ({error.strerror or one_line(error)})"
            return Problem(path, reason, True, "check the disk that it is on")
        return Problem(path, "can't be read", True, "restore it", one_line(error))

    def checksums(self, split: str) -> list[int]:
        """CRC-32 of each encoded image of a split."""
        return [hashes.crc32 for hashes in self.hashes[split] if hashes]

    def fingerprint(self) -> str:
        """Hash of every record's split, name, labels and image: what a run's numbers depend on.

        A copy of a set has the set's fingerprint, though not its stamp.
        """
        digest = hashlib.sha256()
        for split in SPLITS:
            for record, hashes in zip(self.found.splits[split], self.hashes[split], strict=True):
                assert hashes is not None, "a set with unusable images was refused before"
                digest.update(f"{labels_of(split, record)} {hashes.sha256}\n".encode())
        return digest.hexdigest()


def labels_of(split: str, record: Record) -> str:
    """A record as a line of a hash."""
    return f"{split} {printable(record.path)} {record.identity} {record.camera}"
