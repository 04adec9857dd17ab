"""Sessions of a run: sessions.jsonl has a line for the start of each process, and for its end.

Command, versions, machine and times stand here, and not in metrics.jsonl, which two runs of one
seed write alike. Nothing of it is part of a run's identity, and a run goes on without the file.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pmm_jax.config import Config
from pmm_jax.distributed.processes import is_first
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.fields import names_in
from pmm_jax.files import naming, printable, read_regular
from pmm_jax.runtime.machine import machine, versions
from pmm_jax.runtime.peak_rss import peak_rss
from pmm_jax.workdir.run_config import differences
from pmm_jax.workdir.seal import checked, with_checksum

SESSIONS = "sessions.jsonl"
LONGEST_OUTCOME = 300

_CARRIED_OUT = names_in(Config, "execution", "host")
"""Fields that a command line may set for the machine that it runs on."""


class Command(NamedTuple):
    """The command line that trains."""

    line: str
    """As a shell reads it."""
    config: str
    """What --config named."""
    named: Config
    """The config of that name, before the fields that the command line sets."""


class Session:
    """One process of a run; `open_session` makes it."""

    def __init__(self, workdir: Path, config: Config, command: Command | None) -> None:
        self.step = 0
        """Steps of the run so far."""
        self._path, self._config, self._command = workdir / SESSIONS, config, command
        self._opened_at, self._started = time.monotonic(), _now()
        self._file: int | None = None

    def start(self, step: int) -> None:
        """Write the first line, in the first of several processes.

        Args:
            step: number of steps taken by the sessions before.

        Raises:
            OSError: it can't be written.
            UserError: the file is no regular one.
        """
        self.step = step
        if not is_first():
            return
        found = read_regular(self._path) if self._path.exists() else b""
        # Kept open: where the workdir is renamed or replaced, the last line still comes to its own.
        with naming(self._path):
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        # What a crash cut short must not take this line with it.
        parting = "" if found.endswith(b"\n") or not found else "\n"
        self._write({"first_step": step} | self._about(), parting)

    def end(self, outcome: str) -> None:
        """Write the last line, where there is a first.

        Args:
            outcome: how the process ended.

        Raises:
            OSError: it can't be written.
        """
        if self._file is None:
            return
        try:
            self._write(
                {
                    "ended": _now(),
                    "last_step": self.step,
                    "seconds": round(time.monotonic() - self._opened_at, 1),
                    "peak_memory_bytes": peak_rss(),
                    "outcome": _without_home(printable(outcome)[:LONGEST_OUTCOME]),
                }
            )
        finally:
            os.close(self._file)

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = {"command": None, "config": None, "fields": None}
        if self._command is not None:
            line, config, named = self._command
            fields = recorded_differences(named, self._config)
            about = {"command": line, "config": config, "fields": fields}
        return _without_home(about) | {"versions": versions(), "machine": machine()}

    def _write(self, values: dict[str, Any], parting: str = "") -> None:
        values = {"started": self._started} | values
        data = f"{parting}{json.dumps(with_checksum(values))}\n".encode()
        assert self._file is not None
        with naming(self._path):
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)


@contextmanager
def open_session(
    workdir: Path, config: Config, command: Command | None, info: Callable[[str], None]
) -> Iterator[Session]:
    """Note the start and the end of a process in the workdir.

    Args:
        workdir: of the run.
        config: likewise.
        command: that trains; None of a library call.
        info: called where the end can't be noted, which costs the run nothing.
    """
    session = Session(workdir, config, command)
    outcome = "finished"
    try:
        yield session
    except Interrupted:
        outcome = "interrupted"
        raise
    except BaseException as error:
        outcome = f"failed: {str(error) or type(error).__name__}"
        raise
    finally:
        try:
            session.end(outcome)
        except OSError as error:
            info(f"warning: {workdir / SESSIONS} lacks the end of this run ({error.strerror})")


def recorded_differences(named: Config, config: Config) -> dict[str, tuple[Any, Any]]:
    """Fields of a config that differ from a named one, with both values.

    How a run is carried out is left out; how its model is tested is not, as in `differences`.
    """
    return differences(named, config, _CARRIED_OUT)


class Sessions(NamedTuple):
    """What sessions.jsonl holds."""

    sessions: list[dict[str, Any]]
    """Both lines of each process in one; `ended` and what comes with it are missing where it was
    killed or still runs."""
    damaged: int
    """Lines that are not as they were written."""


def read_sessions(workdir: Path) -> Sessions:
    """The sessions of a run; none where there is no file."""
    path, found, damaged = workdir / SESSIONS, list[dict[str, Any]](), 0
    try:
        lines = read_regular(path).splitlines()
    except (OSError, UserError):
        lines = []
    for line in lines:
        values = checked(line)
        if values is None:
            damaged += 1
        elif "ended" not in values:
            found.append(values)
        elif found and found[-1]["started"] == values["started"]:
            found[-1] |= values
    return Sessions(found, damaged)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _without_home(value: Any) -> Any:
    """JSON in whose texts the home folder is `~`: whose it is, is nobody's business."""
    if isinstance(value, dict):
        return {key: _without_home(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_home(one) for one in value]
    home = os.path.expanduser("~").rstrip("/")
    if isinstance(value, str) and home:
        return re.sub(rf"{re.escape(home)}(?=[/\s'\"]|$)", "~", value)
    return value
