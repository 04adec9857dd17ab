"""A workdir belongs to one run: config.json says which, and a lock that one process does it."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pmm_jax.config import Config
from pmm_jax.config_check import parse_config
from pmm_jax.errors import UserError
from pmm_jax.fields import names_in
from pmm_jax.file_lock import file_lock
from pmm_jax.files import read_regular
from pmm_jax.training.run_log import read_metrics

# These change how a run is done and watched, not what it computes.
_FREE = names_in(Config, "execution", "host") - {"data.root"}

# Where a host finds its images and how it reads them: processes of one run may differ in these.
_OF_A_HOST = names_in(Config, "host")


def claim(workdir: Path, config: Config, task: str = "train", data: str | None = None) -> None:
    """Make the workdir this run's, or check that it is.

    Args:
        workdir: made if need be.
        config: of the run.
        task: the command, with what it is told besides the config.
        data: fingerprint of the prepared data.

    Raises:
        UserError: it holds another run; the first differing field is named.
    """
    check_claim(workdir, config, task, data)
    path = workdir / "config.json"
    groups = dataclasses.asdict(config) | {"run": {"task": task, "data": data}}
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        partial = workdir / "config.json.partial"
        partial.write_text(json.dumps(groups, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)  # a full disk must not cost the run its config
    except OSError as error:
        raise _cant_write(workdir, error) from error


def check_claim(
    workdir: Path,
    config: Config,
    task: str = "train",
    data: str | None = None,
    free: Set[str] = frozenset(),
) -> None:
    """Check that a workdir holds this run or none; nothing is written.

    A workdir with neither a logged step nor a checkpoint is anybody's: its run failed on the way.

    Args:
        workdir, config, task, data: as for `claim`; without `data` any will do.
        free: dotted fields that may differ, besides those that don't change what is computed.

    Raises:
        UserError: it holds another run; the first differing field is named.
    """
    path = workdir / "config.json"
    begun = read_metrics(workdir) or any((workdir / "checkpoints").glob("*"))
    if not path.is_file() or not begun:
        return
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
        run = groups.pop("run", {})
        theirs, their_task, their_data = _flat(groups), run.get("task", "train"), run.get("data")
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise UserError(f"{path} is not a run's config; use another --workdir") from None
    if their_task != task:
        raise UserError(
            f"{workdir} holds a run of {their_task}, not of {task}; use another --workdir"
        )
    ours = _flat(dataclasses.asdict(config))
    # A field that is younger than the run had its default, as read_config takes it.
    theirs = _flat(dataclasses.asdict(Config())) | theirs
    for name in sorted((set(ours) | set(theirs)) - _FREE - free):
        if ours.get(name) != theirs.get(name):
            raise UserError(
                f"{workdir} holds a run with {name} {theirs.get(name)}, not "
                f"{ours.get(name)}; use another --workdir"
            )
    if data and their_data and data != their_data:
        raise UserError(
            f"the images of {config.data.root} are not those that the run in {workdir} began "
            "with; bring them back, or use another --workdir"
        )


def shared_fields(config: Config) -> str:
    """What all processes of a run must agree on, as text: they compile one program together."""
    fields = _flat(dataclasses.asdict(config))
    return json.dumps({name: value for name, value in fields.items() if name not in _OF_A_HOST})


@contextmanager
def run_lock(workdir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time train in a workdir, which is made if need be.

    Args:
        workdir: of the run.
        say: told where the file system has no locks.

    Raises:
        UserError: another process is training there, or it can't be written.
    """
    lock = workdir / "lock"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise _cant_write(workdir, error) from error

    def busy() -> None:
        raise UserError(
            f"another process is training in {workdir}; wait for it, or use another --workdir"
        )

    with file_lock(lock, busy, say):
        yield


def _cant_write(workdir: Path, error: OSError) -> UserError:
    return UserError(f"--workdir {workdir} can't be written: {error.strerror}")


def read_config(workdir: Path) -> Config:
    """The config of the run in a workdir.

    Raises:
        UserError: there is no run, or one of another version of this project.
    """
    path = workdir / "config.json"
    try:
        text = read_regular(path)
    except FileNotFoundError:
        raise UserError(f"{workdir} holds no run; train one first, or check the folder") from None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
    try:
        return parse_config(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _flat(groups: dict[str, Any]) -> dict[str, Any]:
    """Fields by their dotted names, tuples as the lists that JSON makes of them."""
    return {
        f"{group}.{name}": list(value) if isinstance(value, tuple) else value
        for group, fields in groups.items()
        for name, value in fields.items()
    }
