"""The prepared form: built whole or not at all, by one process; its source is known by a stamp."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pmm_jax.data.datasets import Dataset
from pmm_jax.data.images import one_line
from pmm_jax.data.index import (
    Columns,
    DamagedError,
    Index,
    check_files,
    read_index,
    size_and_checksum,
    write_index,
)
from pmm_jax.data.records import SPLITS, Problem, Scan
from pmm_jax.data.source_images import SourceImages, labels_of
from pmm_jax.data.split import PreparedImages
from pmm_jax.errors import UserError
from pmm_jax.file_lock import file_lock
from pmm_jax.files import printable

FORMAT = 4
"""Version of index and records; a change makes `prepare` build anew."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_DISK = {*_NO_ROOM, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors that array_record raises as a RuntimeError that quotes the system."""


def stamp_of(dataset: Dataset, found: Scan) -> str:
    """Hash of every record's split, name, labels, size and time of change; reads no image.

    Another stamp makes `prepare` build anew.
    """
    digest = hashlib.sha256(f"format {FORMAT}\n".encode())
    for name in dataset.label_files:
        digest.update(f"{name} {_state_of(dataset.root / name)}\n".encode())
    base = dataset.base
    for split, record in found.labeled():
        line = f"{labels_of(split, record)} {_state_of(f'{base}/{record.path}')}\n"
        digest.update(line.encode())
    return digest.hexdigest()


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
def build_lock(target: Path, info: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time build."""
    lock = target.with_name(target.name + ".lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise UserError(cant_write(target, error)) from error

    def busy() -> None:
        info(f"another process is preparing {target}; waiting for it")

    with file_lock(lock, busy, info):
        yield


def remove_leftovers(target: Path, info: Callable[[str], None]) -> None:
    """Remove what a build left beside the target that was killed."""
    if _leftovers(target) and os.access(target.parent, os.W_OK):
        with build_lock(target, info):
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
            "data.cache_dir to a folder on another disk"
        )
    return (
        f"can't write {printable(str(target))} ({one_line(error)}); free room, or set "
        "data.cache_dir to a folder that you can write to"
    )


def _is_of_disk(error: Exception, numbers: set[int]) -> bool:
    """Whether an error is the system's refusal to write, by any of these errno numbers."""
    if isinstance(error, OSError):
        return error.errno in numbers
    quoted = any(os.strerror(number) in str(error) for number in numbers)
    return isinstance(error, RuntimeError) and quoted


def write_prepared(
    images: SourceImages, stamp: str, target: Path, check: Callable[[], list[Problem]]
) -> None:
    """Write beside the target and move it into place whole; whatever fails leaves nothing.

    Args:
        images: those of the set, none read.
        stamp: of the set.
        target: where it goes; one that is there stays until the new one is whole.
        check: called when all images have been read; refuses the set, or gives the notes that are
            kept in the index.

    Raises:
        UserError: it can't be written, or `check` refuses it.
    """
    partial, old = (target.with_name(target.name + end) for end in (".partial", ".old"))
    try:
        _remove_leftovers(target)
        _write(images, stamp, partial, check)
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
    images: SourceImages, stamp: str, partial: Path, check: Callable[[], list[Problem]]
) -> None:
    # Imported here: a prepared set is found without the half second that tfds takes.
    from pmm_jax.data import tfds_builder

    dataset, found = images.dataset, images.found
    records = tfds_builder.run_tfds_builder(images, partial)
    notes = check()
    shutil.rmtree(partial / "downloads", ignore_errors=True)
    index = Index(
        dataset=dataset.name,
        root=os.path.abspath(dataset.root),
        stamp=stamp,
        fingerprint=images.fingerprint(),
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
                checksums=images.checksums(split),
            )
            for split in SPLITS
        },
    )
    _read_back(partial, index)
    write_index(partial, index)


def _read_back(partial: Path, index: Index) -> None:
    """Check that every record that was written holds its image.

    Raises:
        OSError: one doesn't.
    """
    try:
        for split, columns in index.splits.items():
            if columns.filenames:
                written = PreparedImages(partial, index, split)
                for position in range(len(columns.filenames)):
                    _ = written[position]
    except DamagedError as error:
        raise OSError(errno.EIO, "it reads back differently", str(error.file)) from error
