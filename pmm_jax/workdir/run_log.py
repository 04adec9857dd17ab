"""Logs of a run: metrics.jsonl and TensorBoard events."""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pmm_jax.files import naming, read_regular, write_atomic

METRICS = "metrics.jsonl"
BEFORE = "metrics-before.jsonl"
DAMAGED = "metrics-damaged.jsonl"
FLUSH_SECONDS = 10.0
"""Seconds between two flushes of TensorBoard events, each of which waits for the disk."""


class MetricWriter:
    """metrics.jsonl: one JSON object a line, with `step` and `epoch`.

    It holds results only, no times, so that two runs of one seed write the same file. Speed goes
    to TensorBoard and to the progress bar. A number that is not finite is written as null: JSON
    has no other word for it.
    """

    def __init__(
        self,
        workdir: Path,
        resumed_step: int,
        text: str = "",
        info: Callable[[str], None] = lambda line: None,
        writes: bool = True,
    ) -> None:
        """Open the log after a step.

        Args:
            workdir: of the run.
            resumed_step: 0 at the start.
            text: the file as the step's checkpoint knows it.
            info: called where the file had to be repaired.
            writes: off in all but one of the processes that share a run.
        """
        self.text = text
        self._writes = writes
        if not writes:
            return
        self._path = workdir / METRICS
        found = read_regular(self._path) if self._path.exists() else b""
        expected = text.encode()
        if not resumed_step and read_metrics(workdir):
            # Its checkpoints are gone, or it stopped before the first: what it logged is kept.
            _append(workdir / BEFORE, found)
        elif not (found.startswith(expected) or expected.startswith(found)):
            _append(workdir / DAMAGED, found)
            info(
                f"warning: {self._path} is not as it was written; restored from the checkpoint, "
                f"and what was there kept in {DAMAGED}"
            )
        # Lines past the checkpoint will be written again, by the same steps.
        write_atomic(self._path, expected)
        self._events = _Events(workdir, resumed_step)

    def write(self, step: int, epoch: int, values: Mapping[str, float | None], group: str) -> None:
        """Add a line; `group` is its TensorBoard heading."""
        line = log_line(step, epoch, finite(values))
        self.text += line
        if self._writes:
            with naming(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(line)
            self.write_events(step, {k: v for k, v in values.items() if v is not None}, group)

    def write_events(self, step: int, values: dict[str, float], group: str) -> None:
        """Write TensorBoard events alone."""
        if self._writes:
            self._events.write(step, {f"{group}/{name}": value for name, value in values.items()})

    def close(self) -> None:
        """Flush and close the log."""
        if self._writes:
            self._events.close()


class _Events:
    """TensorBoard's file of scalars.

    SummaryWriter would write in a thread of its own, which a full disk ends with a traceback, and
    then waits for it for ever.
    """

    def __init__(self, workdir: Path, resumed_step: int) -> None:
        # Late: it imports torch where that is found, unless `set_up_training` imported it first.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

        self._scalar, self._event = scalar, event_pb2
        self._path = workdir / "events"
        self._writer = EventsWriter(str(self._path))
        # TensorBoard forgets what an earlier process wrote of later steps.
        start = self._event.SessionLog(status=self._event.SessionLog.START)
        event = self._event.Event(step=resumed_step + 1, session_log=start, wall_time=time.time())
        with naming(self._path):
            self._writer.write_event(event)
            self._writer.flush()
        self._flushed = time.monotonic()

    def write(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            summary = self._scalar(name, value)
            event = self._event.Event(step=step, summary=summary, wall_time=time.time())
            with naming(self._path):
                self._writer.write_event(event)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            with naming(self._path):
                self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        with naming(self._path):
            self._writer.close()


def finite(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Replace NaN and infinity, which JSON lacks, by None (null)."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in values.items()
    }


def log_line(step: int, epoch: int, values: dict[str, float | None]) -> str:
    """A line of metrics.jsonl."""
    return json.dumps({"step": step, "epoch": epoch, **values}, allow_nan=False) + "\n"


def _append(path: Path, data: bytes) -> None:
    with naming(path), path.open("ab") as file:
        file.write(data)


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """All lines of a run so far; one that a crash cut short, or that is damaged, is left out."""
    return read_lines(workdir / METRICS)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file that are objects with a step; none where there is no file."""
    lines = []
    for line in read_regular(path).splitlines() if path.is_file() else []:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):  # nested without end
            continue
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            lines.append(value)
    return lines
