"""Where a run begins: at its last sound checkpoint, or at new weights."""

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
    """Where a run goes on."""

    step: int = 0
    """Steps taken; 0 at the start."""
    log: str = ""
    """metrics.jsonl as it stood then."""
    is_evaluated: bool = True
    """Whether nothing is owed of that step's evaluation."""


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
