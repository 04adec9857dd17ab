"""A lock between processes, which the system frees when its holder dies."""

import errno
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pmm_jax.errors import UserError

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
"""Error numbers of file systems without locks, such as some network ones."""


@contextmanager
def file_lock(path: Path, busy: Callable[[], None], info: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a file that exists.

    Args:
        path: the file.
        busy: called where another process has the lock; this one then waits, unless busy raises.
        info: called where the file system has no locks; nothing is locked then.

    Raises:
        UserError: the system can't say whether the lock is free.
    """
    # Opened for writing: NFS gives no exclusive lock on a file that is only read.
    with path.open("r+") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                busy()
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise UserError(
                    f"can't lock {path} ({error.strerror}); use a folder on another file system"
                ) from error
            info(
                f"warning: {path.parent} is on a file system without locks; see to it that no "
                "second process writes there"
            )
        yield
