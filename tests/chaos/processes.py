"""Commands in sessions of their own, each bounded in time, none of which outlives its trial."""

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

LIMIT = 600.0
"""Seconds after which a command counts as hung."""
GRACE = 5.0
"""Seconds that a command's children may outlive it."""
MARK = "CHAOS_PROCESS"
"""Environment variable by which a command's descendants are known, whatever their session."""


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    """As subprocess gives it: -9 for a process killed by signal 9."""
    out: str
    err: str
    left: int
    """Descendants that were still there after `GRACE`, and were then killed."""
    hung: bool
    """Whether it had to be killed after `LIMIT`."""


class Process:
    """A command that runs, with its output in files beside it; a context manager that ends it."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        stdout: int | IO[bytes] | None = None,
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._out, self._err = (cwd / f".{self._mark}.{end}" for end in ("out", "err"))
        self.began = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.popen = subprocess.Popen(
                command,
                cwd=cwd,
                env={**environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        for number in (*self._descendants(), self.popen.pid):
            kill(number)
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        for path in (self._out, self._err):
            path.unlink(missing_ok=True)

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """True when the condition holds; False where the process ends or hangs before."""
        while self.running and time.monotonic() < self.began + LIMIT:
            if condition():
                return True
            time.sleep(0.002)
        return condition()

    def send(self, number: int) -> None:
        """A signal to the command alone, which may have ended."""
        if self.running:
            self.popen.send_signal(number)

    def end(self) -> Outcome:
        """Wait for its end."""
        try:
            self.popen.wait(max(0.1, self.began + LIMIT - time.monotonic()))
            hung = False
        except subprocess.TimeoutExpired:
            hung = True
            kill(self.popen.pid)
            self.popen.wait()
        until = time.monotonic() + GRACE
        while self._descendants() and time.monotonic() < until:
            time.sleep(0.05)
        left = self._descendants()
        for number in left:
            kill(number)
        out, err = (
            path.read_text(encoding="utf-8", errors="replace") for path in (self._out, self._err)
        )
        return Outcome(self.popen.returncode, out, err, len(left), hung)

    def _descendants(self) -> list[int]:
        sought = f"{MARK}={self._mark}".encode()
        return [
            number
            for number in map(int, filter(str.isdigit, os.listdir("/proc")))
            if number != self.popen.pid and sought in _environment_of(number)
        ]


def kill(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def _environment_of(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/environ").read_bytes()
    except OSError:  # it ended meanwhile, or is another user's
        return b""
