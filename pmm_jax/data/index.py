"""The index of a prepared form: labels and names of its images, and checksums of all its files.

CRC-32, of records and of whole files, finds every flipped bit and every run of 32 damaged ones, and
misses one other damage in four billion; it is ten times as fast as SHA-256 where the processor does
not help, so that a set can be checked at each start. The index carries its own SHA-256.
"""

import hashlib
import json
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pmm_jax.errors import UserError
from pmm_jax.files import open_regular, printable, read_regular, write_atomic

INDEX = "index.json"
"""File name of the index; it is written last, so its presence means done."""

_BLOCK = 2**20


class DamagedError(UserError):
    """A file of a prepared form isn't what `prepare` wrote."""

    def __init__(self, file: Path, reason: str) -> None:
        """`reason` says what is wrong with the file."""
        super().__init__(
            f"{printable(str(file))} is damaged ({reason}); run python -m pmm_jax prepare with the "
            "same config, which builds it anew"
        )
        self.file, self.reason = file, reason


@dataclass(frozen=True)
class Columns:
    """One split, a value an image in each list."""

    identities: list[int]
    cameras: list[int]
    filenames: list[str]
    checksums: list[int]
    """CRC-32 of the encoded images."""


@dataclass(frozen=True)
class Index:
    """Contents of index.json."""

    dataset: str
    root: str
    """Path of the source, for people who read the file."""
    stamp: str
    """build.stamp_of the source."""
    fingerprint: str
    """SourceImages.fingerprint of the source."""
    records: str
    """Folder of the record files, relative to the prepared form's."""
    files: dict[str, list[int]]
    """Size in bytes and CRC-32 of each file in that folder."""
    names: dict[int, str]
    """Name of each identity, where the data set names them by more than a number."""
    notes: list[list[str]]
    """Path, reason, hint and detail of each image in which `prepare` found something unusual."""
    splits: dict[str, Columns]
    camera_names: dict[int, str] = field(default_factory=dict)
    """Name of each camera, where the data set names them by more than a number."""


def write_index(folder: Path, index: Index) -> None:
    """Write the index of a prepared form, whole or not at all."""
    body = json.dumps(asdict(index)).encode()
    write_atomic(folder / INDEX, _seal(body) + body[1:])


def _seal(body: bytes) -> bytes:
    """Head of a file that continues with the body, its opening brace left out."""
    return b'{"sha256": "%s", ' % hashlib.sha256(body).hexdigest().encode()


def read_index(folder: Path) -> Index | None:
    """The index of a prepared form, or None where there is none.

    Raises:
      DamagedError: it isn't what `write_index` wrote, or another version of pmm_jax did.
      UserError: it can't be read.
    """
    file = folder / INDEX
    try:
        content = read_regular(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(
            f"can't read {printable(str(file))} ({error.strerror}); check its permissions"
        ) from error
    except UserError as error:
        raise DamagedError(file, "not a regular file") from error
    size = len(_seal(b""))
    body = b"{" + content[size:]
    if content[:size] != _seal(body):
        raise DamagedError(file, "its checksum is another")
    try:
        return _index(json.loads(body))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(file, "another version of pmm_jax wrote it") from error


def _index(content: dict[str, Any]) -> Index:
    """The index of a JSON object; one of several errors where another version wrote it."""
    splits = {split: Columns(**lists) for split, lists in content.pop("splits").items()}
    for key in ("names", "camera_names"):
        content[key] = {int(number): name for number, name in content[key].items()}
    return Index(splits=splits, **content)


def check_files(folder: Path, index: Index, ending: str = "") -> None:
    """Read every file of a prepared form, or those of an ending, and compare its checksum.

    Raises:
      DamagedError: one isn't what it was.
    """
    for name, (size, checksum) in index.files.items():
        if not name.endswith(ending):
            continue
        file = folder / index.records / name
        try:
            found = size_and_checksum(file)
        except (OSError, UserError) as error:
            raise DamagedError(file, getattr(error, "strerror", None) or str(error)) from error
        if found != [size, checksum]:
            raise DamagedError(file, "its checksum is another")


def size_and_checksum(file: Path) -> list[int]:
    """Size in bytes and CRC-32 of a regular file.

    Raises:
      UserError: it is no regular file.
      OSError: it can't be read.
    """
    size, checksum = 0, 0
    with open_regular(file) as stream:
        while block := stream.read(_BLOCK):
            size, checksum = size + len(block), zlib.crc32(block, checksum)
    return [size, checksum]
