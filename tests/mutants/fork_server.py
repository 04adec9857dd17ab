"""Runs pytest in forks of a process that has imported the libraries: a script of its own.

Reads a JSON object a line from standard input: `tree` (folder), `arguments` (of pytest), `log`
(file) and `limit` (seconds). Answers each with one on standard output: `code` (pytest's, or null
past the limit), `failed` (the first test that failed, or an empty string) and `seconds`.

Nothing of this project is imported before the fork, and jax is asked for no device.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

LIBRARIES = (
    "numpy",
    "jax.numpy",
    "flax.linen",
    "optax",
    "orbax.checkpoint",
    "grain",
    "scipy.sparse",
    "scipy.stats",
    "PIL.Image",
    "tyro",
    "tensorflow_datasets",
    "huggingface_hub",
    "safetensors.numpy",
    "matplotlib.figure",
    "h5py",
    "pytest",
)
"""What most tests import, without torch: it would hide that a test needs it."""


class FirstFailure:
    """A plugin of pytest that writes down the first test, or file, that fails."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._note(report)

    def pytest_collectreport(self, report: Any) -> None:
        self._note(report)

    def _note(self, report: Any) -> None:
        if report.failed and not self._file.exists():
            self._file.write_text(report.nodeid, encoding="utf-8")


def test(request: dict[str, Any], note: Path) -> int:
    """Run pytest, in the child."""
    os.chdir(request["tree"])
    sys.path.insert(0, request["tree"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warnings.resetwarnings()

    import pytest

    return int(pytest.main(request["arguments"], plugins=[FirstFailure(note)]))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run pytest in a fork, a process group of its own that ends with it."""
    note, started = Path(request["log"]).with_suffix(".failed"), time.monotonic()
    note.unlink(missing_ok=True)
    code: int | None = None
    child = os.fork()
    if not child:
        status = 70
        try:
            os.setsid()
            status = test(request, note)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    try:
        while time.monotonic() < started + request["limit"]:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                break
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended, and left nobody
            os.killpg(child, signal.SIGKILL)
        if code is None:
            os.waitpid(child, 0)
    failed = note.read_text(encoding="utf-8") if note.exists() else ""
    note.unlink(missing_ok=True)
    return {"code": code, "failed": failed, "seconds": time.monotonic() - started}


def main() -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # jax warns of forks, which hurt only once it has threads.
    warnings.simplefilter("ignore")
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
