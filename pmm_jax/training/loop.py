"""Training loop: set-up, data, model, state, steps and hooks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pmm_jax.config import Config
from pmm_jax.distributed.processes import is_first, run_or_abort_all
from pmm_jax.distributed.sharding import data_mesh
from pmm_jax.evaluation import Embeddings, RankingMetrics
from pmm_jax.evaluation.table import metrics_table
from pmm_jax.runtime import trim_heap
from pmm_jax.training.compile_step import compile_steps
from pmm_jax.training.hooks import StepResult, open_hooks
from pmm_jax.training.initial import Initial
from pmm_jax.training.loader import TrainLoader
from pmm_jax.training.resume import restore_or_create
from pmm_jax.training.setup import open_run
from pmm_jax.training.train_step import create_task
from pmm_jax.workdir.sessions import Command, open_session


def train(
    config: Config,
    workdir: Path,
    profile: bool = False,
    initial: Initial | None = None,
    finished: Callable[[Embeddings, Embeddings], None] | None = None,
    command: Command | None = None,
) -> RankingMetrics:
    """Train what the config names, going on from the workdir's last checkpoint if it has one.

    Args:
        config: checked.
        workdir: holds all of the run; made if need be.
        profile: record a jax profiler trace of a few steps under workdir/profile.
        initial: weights of a trained model to start from; a run that goes on doesn't need them.
        finished: called at the end, in the first process, with query and gallery as the last
            evaluation embedded them; the workdir is no longer locked then.
        command: the command line that trains, for the run's record.

    Returns:
        Metrics of the last evaluation.

    Raises:
        UserError: anything about the data, the config or the disk that can't work; what could end
            the run at its last step is checked before the first.
        Interrupted: a signal stopped the run; its state was saved.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.config import Config, DataConfig, MethodConfig, ModelConfig, TrainConfig
        >>> config = Config(  # tiny, to see that it runs: the defaults are the paper's
        ...     data=DataConfig(
        ...         root="data/synthetic",
        ...         image_size=(96, 32),
        ...         identities_per_batch=4,
        ...         images_per_identity=2,
        ...         erase_size=8,
        ...     ),
        ...     model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=1 / 8, weights="scratch"),
        ...     method=MethodConfig(top_k=2, block=(2, 1)),
        ...     train=TrainConfig(epochs=1),
        ... )
        >>> metrics = pmm_jax.train(config, Path("runs/toy"))
        market1501: ...
    """
    # --- Set-up: what could end the run is checked, the workdir is locked
    with (
        open_run(config, workdir, initial) as run,
        open_session(workdir, config, command, run.display.info) as session,
    ):
        # --- Data
        mesh = data_mesh(run.sampler.batch_size)
        loader = TrainLoader(config, run.split, run.sampler, mesh, run.display)

        # --- Model and optimizer
        task = create_task(config, run.num_ids, run.learning_rate, mesh.size)

        # --- State, and the step compiled for it
        state, resumed = restore_or_create(run, task, mesh)
        session.start(resumed.step)
        steps = compile_steps(task, state, loader)
        trim_heap()

        with open_hooks(run, resumed, task.network, mesh, profile) as hooks:
            hooks.evaluation.catch_up(state, resumed)

            # --- Steps
            for batch in hooks.accumulator.timed(loader.batches(run.schedule, resumed.step)):
                hooks.profiler.before(batch.steps)
                state, metrics = steps[len(batch.steps)](state, *batch.inputs)
                result = StepResult(batch.steps, state, metrics)
                session.step = result.number
                for hook in hooks.after:
                    hook(result)

            if resumed.step < run.schedule.steps:
                run.display.info(hooks.accumulator.summary())
            run.display.info(metrics_table(hooks.evaluation.metrics))
    if finished is not None:
        run_or_abort_all(partial(finished, *hooks.evaluation.embeddings) if is_first() else bool)
    return hooks.evaluation.metrics
