"""The prepared form: built whole or not at all, by one process; its source is known by a stamp."""

import errno
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pmm_jax.config import DataConfig
from pmm_jax.data import cuhk03
from pmm_jax.data.images import ImageError, one_line
from pmm_jax.data.index import (
    Columns,
    DamagedError,
    Index,
    check_files,
    read_index,
    size_and_checksum,
    write_index,
)
from pmm_jax.data.records import SPLITS, Problem, Record, Scan
from pmm_jax.data.source import base_folder, image_bytes
from pmm_jax.data.split import PreparedImages
from pmm_jax.errors import UserError
from pmm_jax.file_lock import file_lock
from pmm_jax.files import printable

FORMAT = 3
"""Of index and records; a change makes prepare build anew."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_DISK = {*_NO_ROOM, errno.EFBIG, errno.EIO, errno.EROFS}
"""What array_record tells of as a RuntimeError that quotes the system."""


def stamp_of(config: DataConfig, found: Scan) -> str:
    """Hash of every record's split, name, labels, size and time of change; reads no image.

    Another stamp makes `prepare` build anew.
    """
    digest = hashlib.sha256(f"format {FORMAT}\n".encode())
    base = base_folder(config)
    for name in cuhk03.MAT_FILES:
        digest.update(f"{name} {_state_of(base / name)}\n".encode())
    for split, record in found.labelled():
        digest.update(f"{_line(split, record)} {_state_of(f'{base}/{record.path}')}\n".encode())
    return digest.hexdigest()


def contents_of(config: DataConfig, found: Scan) -> tuple[str, dict[str, list[int]]]:
    """Fingerprint of a set, and the CRC-32 of each encoded image by split.

    The fingerprint is a hash of every record's split, name, labels and image: what a run's numbers
    depend on. A copy of a set has the set's fingerprint, though not its stamp.
    """
    digest, read = hashlib.sha256(), image_bytes(config)
    checksums: dict[str, list[int]] = {split: [] for split in SPLITS}
    for split, record in found.labelled():
        image = read(record.path)
        checksums[split].append(zlib.crc32(image))
        line = f"{_line(split, record)} {hashlib.sha256(image).hexdigest()}\n"
        digest.update(line.encode())
    return digest.hexdigest(), checksums


def _line(split: str, record: Record) -> str:
    return f"{split} {printable(record.path)} {record.identity} {record.camera}"


def _state_of(path: str | Path) -> str:
    try:
        state = os.stat(path)
    except OSError:
        return "-"
    return f"{state.st_size} {state.st_mtime_ns}"


def find_index(target: Path, stamp: str | None = None) -> Index | None:
    """The index of a prepared form, once all of its files have been read and are what they were.

    Returns:
        None where there is no prepared form, or another stamp's than the one given.

    Raises:
        DamagedError: a file isn't what it was.
    """
    index = read_index(target)
    if index is None or stamp not in (None, index.stamp):
        return None
    check_files(target, index)
    return index


@contextmanager
def build_lock(target: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time build."""
    lock = target.with_name(target.name + ".lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise UserError(cant_write(target, error)) from error

    def busy() -> None:
        say(f"another process is preparing {target}; waiting for it")

    with file_lock(lock, busy, say):
        yield


def remove_leftovers(target: Path, say: Callable[[str], None]) -> None:
    """Remove what a build left beside the target that was killed."""
    if _leftovers(target) and os.access(target.parent, os.W_OK):
        with build_lock(target, say):
            _remove_leftovers(target)


def _leftovers(target: Path) -> list[Path]:
    beside = target.parent.glob(f"{target.name}.*") if target.parent.is_dir() else ()
    return [path for path in beside if path.suffix in (".partial", ".old")]


def _remove_leftovers(target: Path) -> None:
    for path in _leftovers(target):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def cant_write(target: Path, error: Exception) -> str:
    """The message for a prepared folder that the system refuses."""
    if _is_of_disk(error, _NO_ROOM):
        return (
            f"no room left on the disk of {printable(str(target.parent))}; free some, or set "
            "data.prepared to a folder on another disk"
        )
    return (
        f"can't write {printable(str(target))} ({one_line(error)}); free room, or set "
        "data.prepared to a folder that you can write to"
    )


def _is_of_disk(error: Exception, numbers: set[int]) -> bool:
    """Whether it is the system's refusal to write, by any of these errno numbers."""
    if isinstance(error, OSError):
        return error.errno in numbers
    quoted = any(os.strerror(number) in str(error) for number in numbers)
    return isinstance(error, RuntimeError) and quoted


def build(config: DataConfig, found: Scan, stamp: str, target: Path, notes: list[Problem]) -> None:
    """Build beside the target and move it into place whole; whatever fails leaves nothing.

    Args:
        config: which set.
        found: its scan.
        stamp: of it.
        target: where it goes; one that is there stays until the new one is whole.
        notes: kept in the index.

    Raises:
        UserError: it can't be written, or the images changed meanwhile.
    """
    partial, old = (target.with_name(target.name + end) for end in (".partial", ".old"))
    try:
        _remove_leftovers(target)
        _write(config, found, stamp, partial, notes)
        # Renamed, not deleted first: a deletion cut short could leave an index without records.
        if target.exists():
            target.rename(old)
        partial.rename(target)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) or _is_of_disk(error, _DISK):
            raise UserError(cant_write(target, error)) from error
        raise
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        _remove_leftovers(target)


def _write(
    config: DataConfig, found: Scan, stamp: str, partial: Path, notes: list[Problem]
) -> None:
    # Imported here: a prepared set is found without the half second that tfds takes.
    from pmm_jax.data import builders

    try:
        fingerprint, checksums = contents_of(config, found)
    except (OSError, ImageError) as error:
        raise UserError(_changed(config)) from error
    try:
        records = builders.build(config, found, partial)
    except (FileNotFoundError, ImageError) as error:
        raise UserError(_changed(config)) from error
    shutil.rmtree(partial / "downloads", ignore_errors=True)
    index = Index(
        dataset=config.name,
        root=os.path.abspath(config.root),
        stamp=stamp,
        fingerprint=fingerprint,
        records=records.relative_to(partial).as_posix(),
        files={file.name: size_and_checksum(file) for file in sorted(records.iterdir())},
        names=found.names,
        camera_names=found.camera_names,
        notes=[[note.path, note.reason, note.hint, note.detail] for note in notes],
        splits={
            split: Columns(
                identities=[record.identity for record in found.splits[split]],
                cameras=[record.camera for record in found.splits[split]],
                filenames=[record.path for record in found.splits[split]],
                checksums=checksums[split],
            )
            for split in SPLITS
        },
    )
    _read_back(config, partial, index)
    write_index(partial, index)


def _read_back(config: DataConfig, partial: Path, index: Index) -> None:
    """Check that every record holds its image: the images were read twice meanwhile."""
    try:
        for split, columns in index.splits.items():
            if columns.filenames:
                written = PreparedImages(partial, index, split)
                for position in range(len(columns.filenames)):
                    _ = written[position]
    except DamagedError as error:
        raise UserError(_changed(config)) from error


def _changed(config: DataConfig) -> str:
    return (
        f"the images of {printable(config.root)} changed while they were prepared; prepare again "
        "when nothing writes there"
    )
