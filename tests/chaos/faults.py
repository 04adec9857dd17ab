"""What a fault is, and how many trials of it are run."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.lab import Trial


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    times: int
    """Trials of `make chaos`."""
    few: int
    """Trials of `make test-all`; 0 where they take too long for it."""
    attempt: Callable[[Trial], None]
    """Disturbs something, then checks; what it finds goes to the trial."""
