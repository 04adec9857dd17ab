"""The story of a run: batches, step, log, evaluate, save."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np
import optax

from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import Split, open_split
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.evaluation import Ranking
from pmm_jax.evaluation.table import ranking_json, ranking_table
from pmm_jax.host_memory import give_back, give_back_after
from pmm_jax.model.guide import read_guide
from pmm_jax.model.initial import initialise
from pmm_jax.model.pmm import Network, Tree, build
from pmm_jax.model.pretrained import load_resnet50
from pmm_jax.training.calendar import Calendar
from pmm_jax.training.checkpoint import Checkpoints
from pmm_jax.training.display import Display
from pmm_jax.training.evaluate import check_test, evaluate, make_embed
from pmm_jax.training.feed import Feed
from pmm_jax.training.initial import Initial
from pmm_jax.training.interrupt import stop_on_signal
from pmm_jax.training.optimizer import adam, learning_rate
from pmm_jax.training.processes import (
    any_of,
    check_same,
    from_first,
    is_first,
    one_for_all,
    together,
)
from pmm_jax.training.profiling import Tracer
from pmm_jax.training.run_log import BEFORE, MetricsFile, finite, log_line, read_metrics
from pmm_jax.training.seal import sealed_steps
from pmm_jax.training.sharding import data_mesh, place, state_sharding, whole
from pmm_jax.training.state import TrainState, new_state
from pmm_jax.training.step import make_step
from pmm_jax.training.window import Window
from pmm_jax.training.workdir import claim, run_lock, shared_fields


def train(
    config: Config, workdir: Path, profile: bool = False, initial: Initial | None = None
) -> Ranking:
    """Train what the config names, going on from the workdir's last checkpoint if it has one.

    Args:
        config: checked.
        workdir: holds all of the run; made if need be.
        profile: record a jax profiler trace of a few steps under workdir/profile.
        initial: weights of a trained model to start from; a run that goes on doesn't need them.

    Returns:
        Metrics of the last evaluation.

    Raises:
        UserError: anything about the data, the config or the disk that can't work; what could end
            the run at its last step is checked before the first.
        Interrupted: a signal stopped the run; its state was saved.
    """
    display = Display(quiet=not is_first())

    def checked() -> tuple[Split, IdentitySampler]:
        check_weights(config, fresh=not sealed_steps(workdir) and initial is None)
        prepare(config.data, display.say, True, config.evaluate.cameras)
        data = training_data(config)
        check_test(config)
        return data

    split, sampler = together(checked)
    check_same("configs", shared_fields(config))
    check_same("images", split.fingerprint)
    with ExitStack() as stack:

        def own() -> Callable[[], None]:
            # The lock comes first: a claim that is refused or overtaken must write nothing.
            if not is_first():
                return lambda: None
            still_there = stack.enter_context(run_lock(workdir, display.say))
            digest = initial.digest if initial else None
            claim(workdir, config, data=split.fingerprint, initial=digest)
            return still_there

        still_there = together(own)
        return _run(
            config, workdir, split, sampler, display, profile and is_first(), initial, still_there
        )


def _run(
    config: Config,
    workdir: Path,
    split: Split,
    sampler: IdentitySampler,
    display: Display,
    profile: bool,
    initial: Initial | None,
    still_there: Callable[[], None],
) -> Ranking:
    """From the last checkpoint, or the start, to the last evaluation."""
    calendar = Calendar(config.train, sampler.steps_per_epoch)
    network = build(config, len(np.unique(split.identities)))
    schedule = learning_rate(config.optim, config.train.epochs, sampler.steps_per_epoch)
    transform = adam(config.optim, schedule)
    mesh = data_mesh(sampler.batch_size)
    feed = Feed(config, split, sampler, mesh, display)
    embed_images = make_embed(network, config.evaluate.flip_average, mesh)

    with (
        Checkpoints(workdir) as checkpoints,
        stop_on_signal() as stopping,
        one_for_all(),
        ExitStack() as stack,
    ):
        done = from_first(lambda: checkpoints.newest_sound(display.say))
        check_same(
            "checkpoints (the workdir must lie on a disk that all see)", str(checkpoints.latest)
        )
        trained = None
        if initial is not None:
            trained = partial(initial.put_into, data=split.fingerprint, say=display.say)
        state = start(network, config, transform, fresh=not done, trained=trained)
        state = place(state, state_sharding(mesh, state, config.optim.shard_moments))
        guide = read_guide(config.method.guide) if _has_guide(config) else None
        guide = place(guide, whole(mesh))
        steps = {
            length: make_step(
                network, config, transform, state, feed.example(length), length, guide
            )
            for length in {1, feed.length}
        }
        give_back()
        text, evaluated = "", True
        if done:
            state = checkpoints.restore(done, state)
            display.say(f"going on after step {done} of {calendar.steps}")
            seal = checkpoints.seal(done)
            text, evaluated = seal.log, seal.evaluation is not None
            if seal.evaluation is not None:
                text += log_line(done, calendar.epoch(done), seal.evaluation)
        elif read_metrics(workdir):
            display.say(
                f"{workdir} has no checkpoint: training starts again from its first step, and the "
                f"lines logged before move to {BEFORE}"
            )
        chunks = feed.chunks(calendar, done)
        log = stack.enter_context(
            closing(MetricsFile(workdir, done, text, display.say, writes=is_first()))
        )

        def test(number: int) -> Ranking:
            """Evaluate a step that was saved: a figure that can't be had costs no weights."""
            checkpoints.settle()
            ranking = evaluate(embed_images, config, state.tested, state.stats, display)
            result, epoch = finite(ranking_json(ranking)), calendar.epoch(number)
            still_there()
            checkpoints.add_evaluation(number, result)
            log.write(number, epoch, result, "test")
            display.say(f"epoch {epoch}: Rank-1 {ranking.rank1:.1%}  mAP {ranking.mAP:.1%}")
            return ranking

        if done == calendar.steps:
            display.say("the run is finished; evaluating its last checkpoint")
        if calendar.evaluates(done) and not evaluated:  # a kill came between
            ranking = test(done)
        elif done == calendar.steps:
            ranking = evaluate(embed_images, config, state.tested, state.stats, display)
        window = Window(sampler.batch_size)
        to_come = range(done + 1, calendar.steps + 1)
        tracer = Tracer(workdir / "profile", to_come, config.train.profile_steps, profile)
        with display.bar("training", calendar.steps, done) as bar:
            for numbers, inputs in window.waiting(chunks):
                tracer.before(numbers)
                state, metrics = steps[len(numbers)](state, *inputs)
                window.add(metrics)
                if tracer.after(numbers, state):
                    display.say(f"profiler trace written under {workdir / 'profile'}")

                number, note = numbers[-1], None
                epoch = calendar.epoch(number)
                if calendar.logs(number):
                    means, pace = window.close(number)
                    rate = float(schedule(np.int32(number - 1)))
                    still_there()
                    log.write(number, epoch, {**means, "learning_rate": rate}, "train")
                    log.write_events(number, pace._asdict(), "speed")
                    note = (
                        f"epoch {epoch}  loss {means['loss']:.3f}  "
                        f"accuracy {means['accuracy']:.1%}  {pace.images_per_second:.0f} images/s"
                    )
                bar.advance(len(numbers), note)
                give_back_after(number - done)

                # Only where a line was written: its window of averages would be lost.
                stop = calendar.logs(number) and any_of(stopping())
                if calendar.saves(number) or stop:
                    still_there()
                    checkpoints.save(number, state, log.text)
                if stop:
                    raise Interrupted(number, calendar.steps)
                if calendar.evaluates(number):
                    ranking = test(number)
                    window.restart()
        if done < calendar.steps:
            display.say(f"waited for data {window.data_wait:.1%} of the training time")
        display.say(ranking_table(ranking))
        return ranking


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


def check_weights(config: Config, fresh: bool) -> None:
    """Find out before the data is prepared which weights can't be had.

    Args:
        config: names an initial trunk and a guide.
        fresh: whether the run starts, and needs its initial trunk.

    Raises:
        UserError: a file that isn't there, or ImageNet's weights for another network than theirs.
    """
    model, named = config.model, []
    if fresh and model.weights == "imagenet" and (model.width, model.depth) != (1, (3, 4, 6, 3)):
        raise UserError(
            "model.weights imagenet needs model.width 1 and model.depth 3 4 6 3; use those, or "
            "--model.weights scratch"
        )
    if fresh and model.weights not in ("imagenet", "scratch"):
        named.append(("model.weights", model.weights))
    if _has_guide(config) and config.method.guide != "imagenet":
        named.append(("method.guide", config.method.guide))
    for field, name in named:
        if not Path(name).is_file():
            raise UserError(f"{field} {name} is no file; check its name")


def _has_guide(config: Config) -> bool:
    return config.method.name == "a_cutmix" and config.method.guide != "own"


def start(
    network: Network,
    config: Config,
    transform: optax.GradientTransformation,
    fresh: bool = True,
    trained: Callable[[Tree, Tree], tuple[Tree, Tree]] | None = None,
) -> TrainState:
    """The state before the first step: random, with the trunk that model.weights names.

    Args:
        network, config, transform: of the run.
        fresh: off where a checkpoint will replace the weights, which are left random then.
        trained: puts a trained model's values into parameters and statistics.

    Raises:
        UserError: weights that can't be read, or of another network.
    """
    params, stats = initialise(network, config.train.seed, config.model.zero_last_scale)
    if fresh and trained is not None:
        params, stats = trained(params, stats)
    elif fresh and config.model.weights != "scratch":
        params["trunk"], stats["trunk"] = load_resnet50(
            config.model.weights, params["trunk"], stats["trunk"]
        )
    return new_state(params, stats, transform, config.optim.average_decay > 0)
