"""What has been tried, a JSON line each, so that a run that was stopped goes on."""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["caught", "survived", "broken"]
"""`broken`: the test that failed fails without the change, too."""


@dataclass(frozen=True)
class Result:
    """What came of one mutant at one commit."""

    commit: str
    mutant: str
    """Its name; or those of tests, run without a change."""
    verdict: Verdict
    by: str
    """The first test that failed, or how pytest ended."""
    seconds: float


class Results:
    """A JSONL file of results; several threads may add to it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self._all = [Result(**json.loads(line)) for line in lines]

    def of(self, commit: str, mutant: str) -> Result | None:
        """The last result of a mutant at a commit."""
        return self._last(lambda r: (r.commit, r.mutant) == (commit, mutant))

    def caught(self, mutant: str) -> Result | None:
        """The last result of a mutant at any commit, where it was caught."""
        last = self._last(lambda r: r.mutant == mutant)
        return last if last and last.verdict == "caught" else None

    def _last(self, is_meant: Callable[[Result], bool]) -> Result | None:
        with self._lock:
            return next((r for r in reversed(self._all) if is_meant(r)), None)

    def add(self, result: Result) -> None:
        """Keep a result."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")
            self._all.append(result)
