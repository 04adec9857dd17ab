"""The prepared form: built whole or not at all, by one process; its source is known by a stamp."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pmm_jax.config import DataConfig
from pmm_jax.data import cuhk03
from pmm_jax.data.records import SPLITS, Record, Scan
from pmm_jax.data.source import base_folder, image_bytes
from pmm_jax.data.split import INDEX, read_index
from pmm_jax.data.verify import one_line
from pmm_jax.errors import UserError
from pmm_jax.file_lock import file_lock
from pmm_jax.files import printable

FORMAT = 2
"""Of index and records; a change makes prepare build anew."""


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


def fingerprint_of(config: DataConfig, found: Scan) -> str:
    """Hash of every record's split, name, labels and image: what a run's numbers depend on.

    A copy of a set has the set's fingerprint, though not its stamp.
    """
    digest, read = hashlib.sha256(), image_bytes(config)
    for split, record in found.labelled():
        image = hashlib.sha256(read(record.path)).hexdigest()
        digest.update(f"{_line(split, record)} {image}\n".encode())
    return digest.hexdigest()


def _line(split: str, record: Record) -> str:
    return f"{split} {printable(record.path)} {record.identity} {record.camera}"


def _state_of(path: str | Path) -> str:
    try:
        state = os.stat(path)
    except OSError:
        return "-"
    return f"{state.st_size} {state.st_mtime_ns}"


def is_whole(target: Path, stamp: str | None = None) -> bool:
    """Whether the prepared form is complete, and of this stamp if one is given."""
    try:
        index = read_index(target)
    except UserError:
        return False
    if index is None or stamp not in (None, index.get("stamp")):
        return False
    files = ((target / name, size) for name, size in index["files"].items())
    return all(file.is_file() and file.stat().st_size == size for file, size in files)


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


def cant_write(target: Path, error: OSError) -> str:
    """The message for a prepared folder that the system refuses."""
    return (
        f"can't write {target} ({one_line(error)}); free room, or set data.prepared to a folder "
        "that you can write to"
    )


def build(config: DataConfig, found: Scan, stamp: str, target: Path) -> None:
    """Build beside the target and move it into place whole."""
    # Imported here: a prepared set is found without the half second that tfds takes.
    from pmm_jax.data import builders

    partial, old = (target.with_name(target.name + end) for end in (".partial", ".old"))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        records = builders.build(config, found, partial)
        shutil.rmtree(partial / "downloads", ignore_errors=True)
        index = {
            "dataset": config.name,
            "root": os.path.abspath(config.root),
            "stamp": stamp,
            "fingerprint": fingerprint_of(config, found),
            "records": records.relative_to(partial).as_posix(),
            "files": {
                file.relative_to(partial).as_posix(): file.stat().st_size
                for file in sorted(records.iterdir())
            },
            "names": found.names,
            "splits": {split: _columns(found.splits[split]) for split in SPLITS},
        }
        (partial / INDEX).write_text(json.dumps(index), encoding="utf-8")
        # Renamed, not deleted first: a deletion cut short could leave an index without records.
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(cant_write(target, error)) from error


def _columns(records: list[Record]) -> dict[str, list[Any]]:
    return {
        "identities": [record.identity for record in records],
        "cameras": [record.camera for record in records],
        "filenames": [record.path for record in records],
    }
