"""Progress bar of a run, and lines above it.

A run doesn't need anybody who looks on: where its output is closed (`| head`, a lost terminal, a
full disk behind a redirection), it goes on without.
"""

import contextlib
import os
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class _Console(Console):
    """Rich's own would end the program where its reader has."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            # Python flushes the file once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


class Display:
    """A progress bar on a terminal; elsewhere, such as in a log file, a line now and then."""

    LINE_SECONDS = 30.0

    def __init__(self, stderr: bool = False, quiet: bool = False) -> None:
        self.console = _Console(stderr=stderr, quiet=quiet)
        self._last_line = -self.LINE_SECONDS

    def info(self, text: str) -> None:
        """Print a line above the bar."""
        with self.unheard():
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """Continue without output once it can't be written."""
        try:
            yield
        except (OSError, ValueError):  # a ValueError where the file was closed
            self.console.on_broken_pipe()

    def bar(self, what: str, total: int, done: int = 0) -> "ProgressBar":
        """Context manager that shows the progress of `what`."""
        return ProgressBar(self, what, total, done)

    def line_is_due(self) -> bool:
        """True where lines stand in for the bar and the last one is old enough."""
        now = time.monotonic()
        if self.console.is_terminal or now - self._last_line < self.LINE_SECONDS:
            return False
        self._last_line = now
        return True


class ProgressBar:
    """Progress of one task of a Display."""

    def __init__(self, display: Display, what: str, total: int, done: int) -> None:
        self._display, self._what, self._total, self._done = display, what, total, done
        self._start, self._started_at = done, time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=display.console,
            transient=True,
            disable=not display.console.is_terminal,
        )
        self._task = self._progress.add_task(what, total=total, completed=done, note="")

    def __enter__(self) -> "ProgressBar":
        with self._display.unheard():
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._display.unheard():
            self._progress.stop()

    def update(self, done: int, total: int) -> None:
        """Set the progress to `done` of `total`."""
        self._total = total
        with self._display.unheard():
            self._progress.update(self._task, total=total)
        self.advance(done - self._done)

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Advance by `count`; `note` is shown until the next call."""
        self._done += count
        with self._display.unheard():
            self._progress.advance(self._task, count)
        if note is not None:
            with self._display.unheard():
                self._progress.update(self._task, note=note)
            if self._display.line_is_due():
                spent = time.monotonic() - self._started_at
                left = spent / max(self._done - self._start, 1) * (self._total - self._done)
                self._display.info(
                    f"{self._what} {self._done}/{self._total}  {note}  "
                    f"{left // 60:.0f}:{left % 60:02.0f} left"
                )
