"""What may come of any input: success, or one line."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from hypothesis import event

from pmm_jax.errors import UserError

T = TypeVar("T")


def outcome(action: Callable[[], T]) -> T | str:
    """What the action returns, or the line with which it refuses; anything else is an error."""
    try:
        found = action()
    except UserError as error:
        line = str(error)
    else:
        event("accepted")
        return found
    event("refused")
    assert line.strip()
    assert len(line) < 2000, f"a message of {len(line)} characters"
    return line


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """A current folder of its own for one example."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        yield Path(name)


def files_below(folder: Path) -> set[str]:
    """All files there, relative to it."""
    return {
        os.path.relpath(os.path.join(root, name), folder)
        for root, _, names in os.walk(folder)
        for name in names
    }
