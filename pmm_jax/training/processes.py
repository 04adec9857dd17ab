"""Several processes that make one run: how they find each other, and what they agree on."""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from pmm_jax.errors import UserError
from pmm_jax.launch import Launch


def join(launch: Launch) -> None:
    """Meet the other processes; has to come before anything else asks jax for its devices.

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
        try:
            jax.distributed.initialize()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"--distributed: no cluster is known here ({reason}); name it with "
                f"{', '.join(given)}"
            ) from error
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
    if not launch.coordinator.rpartition(":")[2].isdecimal():
        raise UserError(f"--coordinator {launch.coordinator} must be HOST:PORT")
    try:
        jax.distributed.initialize(launch.coordinator, launch.processes, launch.process)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"the {launch.processes} processes did not meet at {launch.coordinator} ({reason}); "
            "start all of them, with the same --coordinator and --processes"
        ) from error


def is_first() -> bool:
    """True in the one process that writes files and talks."""
    return jax.process_index() == 0


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process; all have to ask."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def together(action: Callable[[], None]) -> None:
    """Run an action in every process; where it fails in one, all stop rather than wait for it.

    Raises:
        UserError: the action's own, or another process had one.
    """
    failure = None
    try:
        action()
    except UserError as error:
        failure = error
    if any_of(failure is not None):
        raise failure or UserError("another process stopped; its message says why")


def check_same(what: str, value: str) -> None:
    """Check that all processes hold the same text.

    Raises:
        UserError: they don't.
    """
    if jax.process_count() == 1:
        return
    texts = np.frombuffer(value.encode()[:64].ljust(64), np.uint8)
    if not (multihost_utils.process_allgather(texts) == texts[None]).all():
        raise UserError(f"the processes hold different {what}; give all of them the same")
