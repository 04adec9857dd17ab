"""Hooks of the training loop: profile, log, save, evaluate.

The loop calls each hook after every call of the compiled step, in the order of its list; a hook
knows from the `RunSchedule` whether its turn has come.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from pmm_jax.config import Config
from pmm_jax.display import Display, ProgressBar
from pmm_jax.distributed.processes import any_process, is_first, own_shard
from pmm_jax.errors import Interrupted
from pmm_jax.evaluation import Embeddings, RankingMetrics
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.evaluation.table import metrics_json
from pmm_jax.inference import Embed, embed_query_gallery, make_embed
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.runtime import trim_settling_heap
from pmm_jax.training.accumulator import MetricAccumulator
from pmm_jax.training.profiling import ProfilerHook
from pmm_jax.training.resume import Resumed
from pmm_jax.training.setup import Run
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import Metrics
from pmm_jax.workdir.run_log import MetricWriter, finite


class StepResult(NamedTuple):
    """Result of one call of the compiled step."""

    steps: range
    """Numbers of the steps, from 1."""
    state: TrainState
    metrics: Metrics

    @property
    def number(self) -> int:
        """Number of the last step."""
        return self.steps[-1]


@dataclass(frozen=True)
class LogHook:
    """Writes metrics.jsonl and TensorBoard events every log_every steps."""

    run: Run
    accumulator: MetricAccumulator
    writer: MetricWriter
    bar: ProgressBar

    def __call__(self, result: StepResult) -> None:
        """Accumulate the metrics, and log if due."""
        self.accumulator.add(result.metrics)
        is_due = self.run.schedule.should_log(result.number)
        note = self._log(result.number) if is_due else None
        self.bar.advance(len(result.steps), note)

    def _log(self, number: int) -> str:
        means, throughput = self.accumulator.close(number)
        rate = float(self.run.learning_rate(np.int32(number - 1)))
        epoch = self.run.schedule.epoch(number)
        self.run.still_there()
        self.writer.write(number, epoch, {**means, "learning_rate": rate}, "train")
        self.writer.write_events(number, throughput._asdict(), "speed")
        return (
            f"epoch {epoch}  loss {means['loss']:.3f}  accuracy {means['accuracy']:.1%}  "
            f"{throughput.images_per_second:.0f} images/s"
        )


@dataclass(frozen=True)
class MemoryHook:
    """Trims the heap while it settles."""

    done: int
    """Steps taken before this process began."""

    def __call__(self, result: StepResult) -> None:
        """Trim the heap if due."""
        trim_settling_heap(result.number - self.done)


@dataclass(frozen=True)
class CheckpointHook:
    """Saves the state every checkpoint_every epochs, and when a signal came."""

    run: Run
    writer: MetricWriter

    def __call__(self, result: StepResult) -> None:
        """Save if due.

        Raises:
            Interrupted: a signal came; the state was saved.
        """
        # Only where a line was written: its window of averages would be lost.
        run, number = self.run, result.number
        stop = run.schedule.should_log(number) and any_process(run.stopping())
        if run.schedule.should_save(number) or stop:
            run.still_there()
            run.checkpoints.save(number, result.state, self.writer.text)
        if stop:
            raise Interrupted(number, run.schedule.steps)


def evaluate(
    embed_images: Embed, config: Config, params: Tree, batch_stats: Tree, display: Display
) -> tuple[RankingMetrics, tuple[Embeddings, Embeddings]]:
    """Rank the full gallery for every query; and the embeddings of both."""
    query, gallery = embed_query_gallery(embed_images, config, params, batch_stats, display)
    settings = config.evaluate
    metrics = evaluate_ranking(query, gallery, settings, settings.query_block, own_shard())
    return metrics, (query, gallery)


class EvalHook:
    """Evaluates query and gallery every evaluate_every epochs."""

    def __init__(
        self, run: Run, writer: MetricWriter, embed_images: Embed, accumulator: MetricAccumulator
    ) -> None:
        self._run, self._writer, self._embed_images = run, writer, embed_images
        self._accumulator = accumulator
        self._last: RankingMetrics | None = None
        self._embeddings: tuple[Embeddings, Embeddings] | None = None

    @property
    def metrics(self) -> RankingMetrics:
        """Metrics of the last evaluation."""
        assert self._last is not None  # the last epoch is always evaluated
        return self._last

    @property
    def embeddings(self) -> tuple[Embeddings, Embeddings]:
        """Query and gallery as the last evaluation embedded them."""
        assert self._embeddings is not None
        return self._embeddings

    def __call__(self, result: StepResult) -> None:
        """Evaluate if due."""
        if self._run.schedule.should_eval(result.number):
            self._evaluate_saved(result.number, result.state)
            self._accumulator.restart()

    def catch_up(self, state: TrainState, resumed: Resumed) -> None:
        """Evaluate the step that a run resumes from, if its evaluation is missing."""
        schedule = self._run.schedule
        if resumed.step == schedule.steps:
            self._run.display.info("the run is finished; evaluating its last checkpoint")
        if schedule.should_eval(resumed.step) and not resumed.is_evaluated:
            self._evaluate_saved(resumed.step, state)
        elif resumed.step == schedule.steps:
            self._evaluate(state)

    def _evaluate_saved(self, number: int, state: TrainState) -> None:
        # After it was saved: a figure that can't be had costs no weights.
        run = self._run
        run.checkpoints.settle()
        metrics = self._evaluate(state)
        if number < run.schedule.steps:
            self._embeddings = None  # only the last ones are asked for
        result, epoch = finite(metrics_json(metrics)), run.schedule.epoch(number)
        run.still_there()
        run.checkpoints.add_evaluation(number, result)
        self._writer.write(number, epoch, result, "test")
        run.display.info(f"epoch {epoch}: Rank-1 {metrics.rank1:.1%}  mAP {metrics.mAP:.1%}")

    def _evaluate(self, state: TrainState) -> RankingMetrics:
        run = self._run
        self._last, self._embeddings = evaluate(
            self._embed_images, run.config, state.eval_params, state.batch_stats, run.display
        )
        return self._last


class Hooks(NamedTuple):
    """Hooks of a run."""

    profiler: ProfilerHook
    evaluation: EvalHook
    after: list[Callable[[StepResult], None]]
    """Called after each call of the compiled step, in this order."""
    accumulator: MetricAccumulator


@contextmanager
def open_hooks(
    run: Run, resumed: Resumed, network: Network, mesh: Mesh, profile: bool
) -> Iterator[Hooks]:
    """Open the hooks of a run, and close its log at the end.

    Args:
        run: set up.
        resumed: where it goes on.
        network: embeds query and gallery.
        mesh: devices that they are split over.
        profile: record a trace of a few steps.
    """
    schedule, train = run.schedule, run.config.train
    accumulator = MetricAccumulator(run.sampler.batch_size)
    writer = MetricWriter(
        run.workdir, resumed.step, resumed.log, run.display.info, writes=is_first()
    )
    with closing(writer), run.display.bar("training", schedule.steps, resumed.step) as bar:
        embed_images = make_embed(network, run.config.evaluate.flip_average, mesh)
        evaluation = EvalHook(run, writer, embed_images, accumulator)
        profiler = ProfilerHook(
            run.workdir / "profile",
            range(resumed.step + 1, schedule.steps + 1),
            train.profile_steps if profile and is_first() else 0,
            run.display.info,
        )
        after: list[Callable[[StepResult], None]] = [
            profiler,
            LogHook(run, accumulator, writer, bar),
            MemoryHook(resumed.step),
            CheckpointHook(run, writer),
            evaluation,
        ]
        yield Hooks(profiler, evaluation, after, accumulator)
