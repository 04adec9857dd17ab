"""The network of a finished or interrupted run, from its workdir alone: no data set is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pmm_jax.config import Config
from pmm_jax.distributed.processes import assert_equal
from pmm_jax.errors import UserError
from pmm_jax.methods import create_model
from pmm_jax.model.initial import shapes
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.run_config import load_run_config


class Restored(NamedTuple):
    """A checkpoint of a run."""

    config: Config
    network: Network
    params: Tree
    """Parameters, or their average, where the run keeps one."""
    batch_stats: Tree
    step: int
    evaluation: dict[str, Any]
    """Metrics of that step; empty where it was not evaluated."""


def restore_run(
    workdir: Path, checkpoint: str, report: Callable[[str], None] = lambda line: None
) -> tuple[Config, Network, Tree, Tree]:
    """Config, network, parameters and statistics of a checkpoint; as `restore_checkpoint`."""
    return restore_checkpoint(workdir, checkpoint, report)[:4]


def restore_checkpoint(
    workdir: Path, checkpoint: str, report: Callable[[str], None] = lambda line: None
) -> Restored:
    """A checkpoint with the weights that its run is evaluated by.

    Args:
        workdir: of the run.
        checkpoint: `latest` or `best`.
        report: called with a line that names the step.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    config = load_run_config(workdir)
    with Checkpoints(workdir, read_only=True) as checkpoints:
        while True:
            step = _choose(checkpoints, workdir, checkpoint)
            assert_equal("checkpoints", str(step))
            try:
                network = create_model(config, checkpoints.identities(step))
                params, batch_stats = checkpoints.restore_weights(
                    step, shapes(network), config.optim.ema_decay > 0
                )
                evaluation = checkpoints.seal(step).evaluation or {}
            except UserError:
                if checkpoints.holds(step):
                    raise
                continue  # its run is training, and has newer ones by now
            report(f"{checkpoint} checkpoint, step {step}")
            return Restored(config, network, params, batch_stats, step, evaluation)


def _choose(checkpoints: Checkpoints, workdir: Path, checkpoint: str) -> int:
    if checkpoint not in ("latest", "best"):
        raise UserError(f"there is no checkpoint {checkpoint}; ask for latest or best")
    step = checkpoints.best if checkpoint == "best" else checkpoints.latest
    if step is None:
        raise UserError(f"{workdir} has no {checkpoint} checkpoint yet")
    return step
