"""The user's files: only regular ones are read, written ones appear whole, names print safely."""

import contextlib
import errno
import hashlib
import io
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from pmm_jax.errors import UserError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path as its user wrote it, with `~` at its start as the home folder."""
    return Path(os.path.expanduser(path))


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """A regular file, open for reading; never waits, as opening a named pipe would.

    Raises:
        UserError: it is a folder, a pipe, a device or a socket.
        OSError: it can't be opened.
    """
    # Without O_NONBLOCK a pipe that nobody writes to would hold us for ever; it changes nothing
    # for regular files.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")
        raise UserError(f"{path} is {kind}, not a regular file; give one")
    return os.fdopen(handle, "rb")


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a regular file; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a regular file; raises as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, on the disk and read back before this returns.

    Raises:
        OSError: it can't be written; what was there before stays, and nothing partial is left.
    """
    with atomic_file(path) as file:
        file.write(data)
        _synchronize(file)
        if Path(file.name).read_bytes() != data:
            raise OSError(errno.EIO, "it reads back differently", str(path))


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[io.BufferedWriter]:
    """A file to write, which appears under its name once the `with` ends without an error.

    For what is too large to be in memory as a whole; nothing is read back.

    Raises:
        OSError: it can't be written; what was there before stays, and nothing partial is left.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with naming(path), partial.open("wb") as file:
            yield file
            _synchronize(file)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _synchronize(file: io.BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error of the system within name the file, as that of a write doesn't.

    Raises:
        OSError: the error.
    """
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def printable(text: str) -> str:
    """The text with what could move a terminal's cursor, or is not UTF-8, written as escapes.

    For names of files and other words of the user's in messages: an escape code or a line break in
    a file's name must not forge a line of ours.
    """
    if text.isprintable():
        return text
    return "".join(
        c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode()
        for c in text
    )
