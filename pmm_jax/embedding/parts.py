"""What a long embedding has done so far: a folder of parts beside the file that it will be.

A part's name says what it was made of (model, settings, its images' paths, sizes and times), so a
part is there exactly where nothing of that has changed.
"""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pmm_jax.embedding.embed_source import Block
from pmm_jax.errors import UserError
from pmm_jax.file_lock import file_lock
from pmm_jax.files import write_atomic
from pmm_jax.npz import read_npz

KIND = "a part of an embedding"


class Parts:
    """The folder of the parts of a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, number: int, made_of: object) -> Path:
        """The file of a part.

        Args:
            number: of the part.
            made_of: all that its embeddings depend on, as JSON.
        """
        digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
        return self.folder / f"{number:06d}-{digest[:16]}.npz"

    def remove_others(self, paths: Sequence[Path]) -> int:
        """Remove the parts that are none of these, and say how many there were."""
        others = {path for path in self.folder.glob("*.npz") if path not in set(paths)}
        for path in [*others, *self.folder.glob("*.partial")]:
            path.unlink()
        return len(others)


@contextlib.contextmanager
def parts_of(path: Path, info: Callable[[str], None]) -> Iterator[Parts]:
    """The parts of a file, for one process at a time; removed at the end of a `with` that succeeds.

    Args:
        path: of the file that they will be.
        info: called where the file system has no locks.

    Raises:
        UserError: another process writes the file, or the folder can't be made.
    """
    folder = path.with_name(f"{path.name}.parts")

    def busy() -> None:
        raise UserError(f"another process is writing {path}; wait for it, or name another file")

    try:
        folder.mkdir(exist_ok=True)
        lock = folder / "lock"
        lock.touch()
    except OSError as error:
        raise UserError(f"can't write {folder}: {error.strerror or error}") from error
    with file_lock(lock, busy, info):
        yield Parts(folder)
        shutil.rmtree(folder)


def write_part(path: Path, block: Block) -> None:
    """Write a part, whole or not at all."""
    rows, why = list(block.bad), list(block.bad.values())
    buffer = io.BytesIO()
    np.savez(
        buffer,
        features=block.features,
        rows=block.rows,
        bad=np.array(rows, np.int64),
        why=np.array(why, str),
    )
    write_atomic(path, buffer.getvalue())


def read_part(path: Path) -> Block:
    """Read what `write_part` wrote.

    Raises:
        UserError: it is damaged.
    """
    arrays = read_npz(path, ("features", "rows", "bad", "why"), KIND)
    bad = dict(zip(arrays["bad"].tolist(), arrays["why"].tolist(), strict=True))
    return Block(arrays["features"], arrays["rows"], bad)
