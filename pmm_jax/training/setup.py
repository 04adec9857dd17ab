"""Checks, preparation and locks before a run begins."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import optax

from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import Split, open_split
from pmm_jax.display import Display
from pmm_jax.distributed.processes import (
    abort_all_on_error,
    assert_equal,
    is_first,
    run_or_abort_all,
)
from pmm_jax.inference import check_evaluation
from pmm_jax.model.pmm import Tree
from pmm_jax.training.initial import Initial, check_weights
from pmm_jax.training.interrupt import stop_on_signal
from pmm_jax.training.optimizer import learning_rate
from pmm_jax.training.schedule import RunSchedule
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.run_config import register_run, run_lock, shared_fields
from pmm_jax.workdir.seal import sealed_steps


@dataclass(frozen=True)
class Run:
    """Run that is ready to begin: its data is prepared and its workdir locked."""

    config: Config
    workdir: Path
    split: Split
    """Training images."""
    sampler: IdentitySampler
    display: Display
    still_there: Callable[[], None]
    """Raises a UserError where the workdir has been removed or replaced."""
    initial: Initial | None
    """Weights of a trained model to start from."""
    schedule: RunSchedule
    checkpoints: Checkpoints
    stopping: Callable[[], bool]
    """Whether a signal asked the run to stop."""

    @cached_property
    def learning_rate(self) -> optax.Schedule:
        """Learning rate of a step, counted from 0."""
        config = self.config
        return learning_rate(config.optim, config.train.epochs, self.schedule.steps_per_epoch)

    @property
    def num_ids(self) -> int:
        """Training identities."""
        return len(np.unique(self.split.identities))

    def adapt_initial(self, params: Tree, batch_stats: Tree) -> tuple[Tree, Tree]:
        """The initial model's values in trees of a new network."""
        assert self.initial is not None
        return self.initial.put_into(params, batch_stats, self.split.fingerprint, self.display.info)


@contextmanager
def open_run(config: Config, workdir: Path, initial: Initial | None) -> Iterator[Run]:
    """Check, prepare and lock, in every process or in none.

    Whatever would end the run at its last step ends it here.

    Raises:
        UserError: anything about the data, the config or the disk that can't work.
    """
    display = Display(quiet=not is_first())

    def checked() -> tuple[Split, IdentitySampler]:
        check_weights(config, fresh=not sealed_steps(workdir) and initial is None)
        prepare(config.data, display.info, True, config.evaluate.cameras)
        data = training_data(config)
        check_evaluation(config)
        return data

    split, sampler = run_or_abort_all(checked)
    assert_equal("configs", shared_fields(config))
    assert_equal("images", split.fingerprint)
    with ExitStack() as stack:

        def own() -> Callable[[], None]:
            # The lock comes first: a run that is refused or overtaken must write nothing.
            if not is_first():
                return lambda: None
            still_there = stack.enter_context(run_lock(workdir, display.info))
            digest = initial.digest if initial else None
            register_run(workdir, config, data=split.fingerprint, initial=digest)
            return still_there

        still_there = run_or_abort_all(own)
        run = Run(
            config,
            workdir,
            split,
            sampler,
            display,
            still_there,
            initial,
            RunSchedule(config.train, sampler.steps_per_epoch),
            stack.enter_context(Checkpoints(workdir)),
            stack.enter_context(stop_on_signal()),
        )
        with abort_all_on_error():
            yield run


def training_data(config: Config) -> tuple[Split, IdentitySampler]:
    """The training split, and the sampler of its batches with classes in order of identity."""
    split = open_split(config.data, "train")
    _, labels = np.unique(split.identities, return_inverse=True)
    sampler = IdentitySampler(
        labels,
        config.data.identities_per_batch,
        config.data.images_per_identity,
        config.train.seed,
    )
    return split, sampler
