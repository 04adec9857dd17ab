"""Kills or fails its process at the Nth change that Python makes under a folder.

Found by Python at its start, where this folder is on PYTHONPATH.
"""

import errno
import os
import signal
import sys
import threading
from typing import Any

_CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "os.truncate")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _Hook:
    """Counts the changes; an audit hook can't be taken away again, so it is quiet when done."""

    def __init__(self, action: str, at: int, folder: str) -> None:
        self._action, self._left, self._folder = action, at, folder
        self._lock = threading.Lock()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._left <= 0 or not (event == "open" or event in _CHANGES):
            return
        if event == "open" and not arguments[2] & _WRITING:
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.abspath(os.fsdecode(path))
        # The bytecode of the config file is nobody's loss.
        if not name.startswith(self._folder) or "__pycache__" in name:
            return
        with self._lock:
            self._left -= 1
            if self._left:
                return
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self._action)
        raise OSError(number, os.strerror(number), name)


if "CHAOS_ACTION" in os.environ:
    sys.addaudithook(
        _Hook(os.environ["CHAOS_ACTION"], int(os.environ["CHAOS_AT"]), os.environ["CHAOS_FOLDER"])
    )
