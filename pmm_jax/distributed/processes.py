"""Processes of a multi-host run: initialization and collective operations."""

import hashlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from pmm_jax.errors import Interrupted, UserError
from pmm_jax.launch import DistributedConfig
from pmm_jax.runtime.compile_cache import disable_default_compile_cache

T = TypeVar("T")


def initialize_distributed(launch: DistributedConfig) -> None:
    """Connect to the other processes; call it before anything initializes jax's devices.

    Nothing is guessed from the environment unless `distributed` asks for it: a run inside somebody
    else's Slurm allocation stays alone.

    Raises:
        UserError: half an address, or no cluster where one was asked for.
    """
    given = {
        "--coordinator HOST:PORT": bool(launch.coordinator),
        "--processes N": launch.processes > 0,
        "--process I": launch.process >= 0,
    }
    if launch.distributed and not any(given.values()):
        _initialize(
            f"--distributed found no cluster; name it with {', '.join(given)}",
        )
        return
    if not any(given.values()):
        return
    missing = [name for name, is_given in given.items() if not is_given]
    if missing:
        raise UserError(f"{' and '.join(missing)} is missing; several processes need all three")
    if launch.process >= launch.processes:
        raise UserError(
            f"--process {launch.process} of {launch.processes}: they count from 0 to "
            f"{launch.processes - 1}"
        )
    match = re.fullmatch(r"[^\s:]\S*:([0-9]{1,5})", launch.coordinator)
    if match is None or not 0 < int(match[1]) < 2**16:
        raise UserError(
            f"--coordinator {launch.coordinator} must be HOST:PORT, with a port of 1 to 65535"
        )
    _initialize(
        f"the {launch.processes} processes did not meet at {launch.coordinator}; start all of "
        "them, with the same --coordinator and --processes",
        coordinator_address=launch.coordinator,
        num_processes=launch.processes,
        process_id=launch.process,
        # Without this, Slurm's variables would choose the devices.
        cluster_detection_method="deactivate",
    )


def _initialize(failure: str, **address: Any) -> None:
    disable_default_compile_cache()
    # It would swallow SIGTERM, which a run answers itself (interrupt.py).
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**address)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{failure} ({' '.join(str(error).split())})") from error
    any_process(False)  # the network between them stands before one of them is busy with its data


def is_first() -> bool:
    """True in the one process that writes files and talks."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; every process has to call this."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def process_sum(counts: np.ndarray) -> np.ndarray:
    """Sum of the processes' arrays of one shape; every process has to call this."""
    if jax.process_count() == 1:
        return counts
    return np.asarray(multihost_utils.process_allgather(counts)).sum(0)


@dataclass(frozen=True)
class ProcessShard:
    """Part of an evaluation that one of several processes computes; by default, all of it."""

    index: int = 0
    """Index of this process."""
    count: int = 1
    """Number of processes."""
    total: Callable[[np.ndarray], np.ndarray] = lambda counts: counts
    """Sum of an array over the processes; every process has to call it."""


def own_shard() -> ProcessShard:
    """The shard of this process among those that it was started with."""
    return ProcessShard(jax.process_index(), jax.process_count(), process_sum)


def run_or_abort_all(action: Callable[[], T]) -> T:
    """Run an action in every process; where it fails in one, all stop rather than wait for it.

    Returns:
        The action's result.

    Raises:
        UserError: the action's own, or another process had one.
    """
    failure, results = None, []
    try:
        results.append(action())
    # Whatever it is, the others have to hear of it before it ends this process.
    except Exception as error:
        failure = error
    if any_process(failure is not None):
        raise failure or UserError("another process stopped; its message says why")
    return results[0]


def from_first(action: Callable[[], int]) -> int:
    """Compute a value in the first process and broadcast it.

    Raises:
        UserError: the action's own, or the first process had one.
    """
    found = run_or_abort_all(lambda: action() if is_first() else 0)
    return int(process_sum(np.array(found)))


@contextmanager
def abort_all_on_error() -> Iterator[None]:
    """Context manager: an error in one process of a run aborts all of them at once.

    They would wait for it in the next transfer, and it for them at its exit.
    """
    try:
        yield
    except Interrupted:  # all of them stop there
        raise
    except BaseException as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, UserError):
            print(f"error: {error}", file=sys.stderr, flush=True)
        else:
            traceback.print_exc()
        os._exit(2)


def assert_equal(what: str, value: str) -> None:
    """Check that all processes hold the same text.

    Raises:
        UserError: they don't.
    """
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(hashlib.sha256(value.encode()).digest(), np.uint8)
    if not (multihost_utils.process_allgather(digest) == digest[None]).all():
        raise UserError(f"the processes hold different {what}; give all of them the same")
