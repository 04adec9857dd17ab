"""Resume a run from its last sound checkpoint, or create its initial state."""

from typing import NamedTuple

from jax.sharding import Mesh

from pmm_jax.distributed.processes import assert_equal, from_first
from pmm_jax.distributed.sharding import shard_pytree
from pmm_jax.training.initial import create_train_state
from pmm_jax.training.setup import Run
from pmm_jax.training.state import TrainState, state_sharding
from pmm_jax.training.train_step import TrainTask
from pmm_jax.workdir.run_log import BEFORE, log_line, read_metrics


class Resumed(NamedTuple):
    """Position at which a run continues."""

    step: int = 0
    """Number of steps taken; 0 at the start."""
    log: str = ""
    """Contents of metrics.jsonl at that step."""
    is_evaluated: bool = True
    """Whether the evaluation due at that step is done."""


def restore_or_create(run: Run, task: TrainTask, mesh: Mesh) -> tuple[TrainState, Resumed]:
    """The state to go on from, placed on the mesh.

    Raises:
        UserError: checkpoints or weights that can't be read, or are of another model.
    """
    checkpoints, info = run.checkpoints, run.display.info
    step = from_first(lambda: checkpoints.newest_sound(info))
    assert_equal(
        "checkpoints (the workdir must lie on a disk that all see)", str(checkpoints.latest)
    )
    adapt = None if run.initial is None else run.adapt_initial
    state = create_train_state(task, fresh=not step, trained=adapt)
    state = shard_pytree(state, state_sharding(mesh, state, task.config.optim.shard_moments))
    if not step:
        if read_metrics(run.workdir):
            info(
                f"{run.workdir} has no checkpoint: training starts again from its first step, and "
                f"the lines logged before move to {BEFORE}"
            )
        return state, Resumed()
    state = checkpoints.restore(step, state)
    info(f"going on after step {step} of {run.schedule.steps}")
    seal = checkpoints.seal(step)
    log = seal.log
    if seal.evaluation is not None:
        log += log_line(step, run.schedule.epoch(step), seal.evaluation)
    return state, Resumed(step, log, seal.evaluation is not None)
