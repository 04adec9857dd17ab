"""Identity of the run in a workdir (config.json), and a lock against a second process."""

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pmm_jax.config import Config
from pmm_jax.config_check import parse_config
from pmm_jax.errors import UserError
from pmm_jax.fields import names_in
from pmm_jax.file_lock import file_lock
from pmm_jax.files import read_regular, write_atomic
from pmm_jax.workdir.run_log import read_metrics
from pmm_jax.workdir.seal import checked, read_seal, sealed_steps, with_checksum

CONFIG = "config.json"

# These change how a run is done and watched, not what it computes.
_FREE = names_in(Config, "execution", "host", "test")

# Where a host finds its images and how it reads them: processes of one run may differ in these.
_OF_A_HOST = names_in(Config, "host")


def register_run(
    workdir: Path,
    config: Config,
    task: str = "train",
    data: str | None = None,
    initial: str | None = None,
) -> None:
    """Make the workdir this run's, or check that it is.

    Args:
        workdir: made if need be.
        config: of the run.
        task: the command, with what it is told besides the config.
        data: fingerprint of the prepared data.
        initial: digest of the model that the run starts from.

    Raises:
        UserError: it holds another run; the first differing field is named.
    """
    theirs = check_resume(workdir, config, task, data, initial)
    run = {
        "task": task,
        "data": data or theirs.get("data"),
        "initial": initial or theirs.get("initial"),
    }
    groups = with_checksum(dataclasses.asdict(config) | {"run": run})
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_atomic(workdir / CONFIG, (json.dumps(groups, indent=2) + "\n").encode())
    except OSError as error:
        raise _cant_write(workdir, error) from error


def check_resume(
    workdir: Path,
    config: Config,
    task: str = "train",
    data: str | None = None,
    initial: str | None = None,
) -> dict[str, Any]:
    """Check that a workdir holds this run or none; nothing is written.

    A workdir with neither a logged step nor a checkpoint is anybody's: its run failed on the way.

    Args:
        workdir: as of `register_run`.
        config: likewise.
        task: likewise.
        data: likewise; without it any will do.
        initial: likewise.

    Returns:
        What config.json says of the run besides its config; empty where there is none.

    Raises:
        UserError: it holds another run; the first differing field is named.
    """
    if not read_metrics(workdir) and not sealed_steps(workdir):
        return {}
    theirs, run = _read(workdir)
    their_task = run.get("task", "train")
    if their_task != task:
        raise UserError(
            f"{workdir} holds a run of {their_task}, not of {task}; use another --workdir"
        )
    for name, (old, new) in differences(theirs, config).items():
        _check_field(workdir, name, old, new, theirs)
    if data and run.get("data") and data != run["data"]:
        raise UserError(
            f"the images of {config.data.root} are not those that the run in {workdir} began "
            f"with; bring them back, or start from its weights: --init-from {workdir} and another "
            "--workdir"
        )
    if initial and initial != run.get("initial"):
        raise UserError(
            f"the run in {workdir} did not start from that --init-from; leave it out to go on, or "
            "use another --workdir"
        )
    return run


def differences(
    theirs: Config, ours: Config, besides: frozenset[str] = _FREE
) -> dict[str, tuple[Any, Any]]:
    """Fields in which two configs differ, with both values.

    Args:
        theirs: one.
        ours: the other.
        besides: fields that don't count; by default those that change nothing that is computed.
    """
    old, new = (_flat(dataclasses.asdict(config)) for config in (theirs, ours))
    names = sorted(set(old) - besides)
    return {name: (old[name], new[name]) for name in names if old[name] != new[name]}


def _check_field(workdir: Path, name: str, old: Any, new: Any, theirs: Config) -> None:
    hint = f"use another --workdir; --init-from {workdir} starts from this run's weights"
    if name == "train.epochs" and new > old:
        if theirs.optim.schedule == "step":
            return  # the same rates, and more of them
        hint = (
            "a cosine schedule ends at rate 0, so this run can't be made longer; "
            f"--init-from {workdir} with another --workdir trains on from its weights"
        )
    raise UserError(
        f"{workdir} holds a run with {name} {json.dumps(old)}, not {json.dumps(new)}; {hint}"
    )


def data_fingerprint(workdir: Path) -> str | None:
    """Fingerprint of the images that a workdir's run was trained on; None where it is unknown.

    Raises:
        UserError: there is no run.
    """
    return _read(workdir)[1].get("data")


def shared_fields(config: Config) -> str:
    """Config fields that all processes of a run must agree on, as text."""
    fields = _flat(dataclasses.asdict(config))
    return json.dumps({name: value for name, value in fields.items() if name not in _OF_A_HOST})


@contextmanager
def run_lock(workdir: Path, info: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Let one process at a time train in a workdir, which is made if need be.

    Args:
        workdir: of the run.
        info: called where the file system has no locks.

    Yields:
        A function that raises a UserError where the workdir is no longer the one that was locked.

    Raises:
        UserError: another process is training there, or it can't be written.
    """
    lock = workdir / "lock"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock.touch()
        held = lock.stat()
    except OSError as error:
        raise _cant_write(workdir, error) from error

    def busy() -> None:
        raise UserError(
            f"another process is training in {workdir}; wait for it, or use another --workdir"
        )

    def still_there() -> None:
        # Another folder of that name would take this run's files as well.
        try:
            gone = not os.path.samestat(lock.stat(), held)
        except OSError:
            gone = True
        if gone:
            raise UserError(
                f"--workdir {workdir} was removed or renamed while its run was training; where it "
                "was renamed, the same command goes on with the new name"
            )

    with file_lock(lock, busy, info):
        for partial in workdir.glob("*.partial"):  # what a kill left behind
            partial.unlink(missing_ok=True)
        yield still_there


def _cant_write(workdir: Path, error: OSError) -> UserError:
    return UserError(f"--workdir {workdir} can't be written: {error.strerror}")


def load_run_config(workdir: Path) -> Config:
    """The config of the run in a workdir.

    Raises:
        UserError: there is no run, or one of another version of this project.
    """
    return _read(workdir)[0]


def _read(workdir: Path) -> tuple[Config, dict[str, Any]]:
    """The config in config.json, and what it says of the run besides.

    Where the file is gone or damaged, the newest checkpoint's copy of it.
    """
    path = workdir / CONFIG
    try:
        texts = [read_regular(path)]
    except FileNotFoundError:
        texts = []
    except NotADirectoryError as error:
        raise UserError(f"{workdir} is a file; name the run's folder") from error
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
    steps = sorted(sealed_steps(workdir), reverse=True)
    seals = (read_seal(workdir, step) for step in steps)
    for text in itertools.chain(texts, (seal.config.encode() for seal in seals if seal)):
        groups = checked(text)
        if groups is not None:
            run = groups.pop("run", {})
            try:
                config = parse_config(json.dumps(groups).encode())
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
            return config, {name: value for name, value in run.items() if value}
    if not texts and not steps:
        raise UserError(f"{workdir} holds no run; train one first, or check the folder")
    raise UserError(
        f"{path} is {'not as it was written' if texts else 'gone'}, and no checkpoint has a copy; "
        "restore it, or use another --workdir"
    )


def _flat(groups: dict[str, Any]) -> dict[str, Any]:
    """Fields by their dotted names, tuples as the lists that JSON makes of them."""
    return {
        f"{group}.{name}": list(value) if isinstance(value, tuple) else value
        for group, fields in groups.items()
        for name, value in fields.items()
    }
