"""What a run writes about itself: metrics.jsonl and TensorBoard events."""

import json
import sys
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
BEFORE = "metrics-before.jsonl"


class MetricsFile:
    """metrics.jsonl: one JSON object a line, with `step` and `epoch`.

    It holds results only, no times, so that two runs of one seed write the same file. Speed goes
    to TensorBoard and to the progress bar.
    """

    def __init__(self, workdir: Path, resumed_step: int, writes: bool = True) -> None:
        """Where several processes share a run, only one of them `writes`."""
        self._writes = writes
        if not writes:
            return
        self._path = workdir / METRICS
        if not resumed_step and read_metrics(workdir):
            # Its checkpoints are gone, or it stopped before the first: what it logged is kept.
            with (workdir / BEFORE).open("a", encoding="utf-8") as file:
                file.write(self._path.read_text(encoding="utf-8"))
            self._path.unlink()
        kept = [line for line in read_metrics(workdir) if line["step"] <= resumed_step]
        # Lines past the checkpoint will be written again, by the same steps.
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        temporary.replace(self._path)
        self._events = _summary_writer()(str(workdir), purge_step=resumed_step + 1)

    def write(self, step: int, epoch: int, values: dict[str, float], group: str) -> None:
        """Add a line; `group` is its TensorBoard heading."""
        if not self._writes:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **values}) + "\n")
        self.write_events(step, values, group)

    def write_events(self, step: int, values: dict[str, float], group: str) -> None:
        """TensorBoard alone."""
        if not self._writes:
            return
        for name, value in values.items():
            self._events.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Flush everything."""
        if self._writes:
            self._events.close()


def _summary_writer() -> Any:
    """tensorboardX's SummaryWriter, which would import torch (seconds, 300 MB) where it is found.

    Scalars need none of it, and a run must not depend on whether torch is installed.
    """
    if "torch" in sys.modules:
        from tensorboardX import SummaryWriter

        return SummaryWriter
    sys.modules["torch"] = None  # type: ignore[assignment]  # `import torch` raises ImportError
    try:
        from tensorboardX import SummaryWriter
    finally:
        del sys.modules["torch"]
    return SummaryWriter


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """All lines of a run so far; a line cut short by a crash is left out."""
    return read_lines(workdir / METRICS)


def read_lines(path: Path) -> list[dict]:
    """The lines of a JSONL file, up to one cut short; none where there is no file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
