"""The most memory that this process held resident."""

import resource
import sys
from pathlib import Path


def reset_peak_rss() -> None:
    """Count the peak from here on, where Linux lets us."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5", encoding="ascii")


def peak_rss() -> int:
    """Bytes that this process held at most.

    Linux counts in ru_maxrss what the parent held when it started us, so its own file comes first.
    """
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="utf-8").splitlines() if status.is_file() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
