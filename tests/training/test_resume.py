"""A run that was stopped and goes on is the run that was never stopped, to the last bit."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pmm_jax.config import Config
from pmm_jax.data.loading import ordered_batches
from pmm_jax.data.split import open_split
from pmm_jax.display import Display
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.evaluation import RankingMetrics
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.inference import embed_run, make_embed
from pmm_jax.training import compile_step, hooks, loop
from pmm_jax.training.initial import create_train_state, read_initial
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask, create_task
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.restore import restore_run
from pmm_jax.workdir.run_config import run_lock
from pmm_jax.workdir.seal import checked, with_checksum
from pmm_jax.workdir.sessions import read_sessions

STEPS = 6
COMPILED: dict[tuple[Config, int], compile_step.CompiledStep] = {}


def compile_once(
    task: TrainTask,
    state: TrainState,
    inputs: tuple[Any, ...],
    length: int = 1,
    saliency: None = None,
    *,
    plain: Callable[..., compile_step.CompiledStep] = compile_step.compile_step,
) -> compile_step.CompiledStep:
    """compile_step, once for a config: all runs here are of the same images, and it takes 5 s."""
    key = task.config, length
    if key not in COMPILED:
        COMPILED[key] = plain(task, state, inputs, length, saliency)
    return COMPILED[key]


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_step, "compile_step", compile_once)
        yield


def final_state(config: Config, workdir: Path) -> Any:
    task = create_task(config, 9, optax.constant_schedule(0.0))
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest == STEPS
        state = create_train_state(task)
        return jax.device_get(checkpoints.restore(STEPS, jax.tree.map(jax.numpy.asarray, state)))


def lines(workdir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tiny: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from start to end."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    loop.train(tiny, workdir)
    return workdir


def assert_same_run(config: Config, one: Path, other: Path) -> None:
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    jax.tree.map(
        np.testing.assert_array_equal, final_state(config, one), final_state(config, other)
    )


LOSSES = [f"{kind}{stage}" for kind in ("triplet", "cross_entropy") for stage in (1, 2, 3)]
FIGURES = ["rank1", "rank5", "rank10", "mAP", "mINP", "mAP@50"]


def test_a_run_writes_a_line_for_each_step(whole: Path) -> None:
    training = [line for line in lines(whole) if "loss" in line]
    assert [(line["step"], line["epoch"]) for line in training] == [
        (step, (step + 1) // 2) for step in range(1, STEPS + 1)
    ]
    for line in training:
        assert set(line) == {"step", "epoch", "loss", "accuracy", "learning_rate", *LOSSES}
        assert line["loss"] == pytest.approx(sum(line[name] for name in LOSSES))
        assert 0 <= line["accuracy"] <= 1
        # The rate that the step used: a stair an epoch, in the release's tenths of the peak.
        assert line["learning_rate"] == pytest.approx(1e-4 * (line["epoch"] + 1))


def test_a_run_writes_a_line_for_each_evaluation(whole: Path, tiny: Config) -> None:
    testing = [line for line in lines(whole) if "mAP" in line]
    assert [(line["step"], line["epoch"]) for line in testing] == [(4, 2), (6, 3)]
    for line in testing:
        assert set(line) == {"step", "epoch", *FIGURES}
        assert 0 < line["rank1"] <= line["rank5"] <= line["rank10"] <= 1
        assert 0 < line["mINP"] <= line["mAP"] <= 1
    written = json.loads((whole / "config.json").read_text())
    for group, fields in json.loads(json.dumps(asdict(tiny))).items():
        assert written[group] == fields


def test_tensorboard_shows_what_the_lines_say(whole: Path) -> None:
    shown = {
        (event.step, value.tag): value.simple_value
        for file in whole.glob("events.out.tfevents*")
        for event in events(file)
        for value in event.summary.value
    }
    for line in lines(whole):
        group = "train" if "loss" in line else "test"
        for name in set(line) - {"step", "epoch"}:
            tag = f"{group}/{name.replace('@', '_')}"  # as TensorBoard has it
            assert shown.pop((line["step"], tag)) == np.float32(line[name])
    assert set(shown) == {
        (step, f"speed/{name}")
        for step in range(1, STEPS + 1)
        for name in ("images_per_second", "data_wait")
    }


def events(file: Path) -> Iterator[Any]:
    """The records of a TensorBoard file: a length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, at = file.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield Event.FromString(content[at + 12 : at + 12 + length])
        at += 12 + length + 4


def test_the_same_seed_gives_the_same_run(whole: Path, tiny: Config, tmp_path: Path) -> None:
    loop.train(tiny, tmp_path)
    assert_same_run(tiny, whole, tmp_path)


@pytest.mark.slow
def test_another_seed_gives_another_run(whole: Path, tiny: Config, tmp_path: Path) -> None:
    config = replace(tiny, train=replace(tiny.train, seed=1, epochs=1))
    with pytest.MonkeyPatch.context() as patch:
        # The seed of the step is compiled into it; batches and weights are enough to differ here.
        patch.setattr(
            compile_step,
            "compile_step",
            lambda task, *arguments: compile_once(replace(task, config=tiny), *arguments),
        )
        loop.train(config, tmp_path)
    assert lines(tmp_path)[0]["loss"] != lines(whole)[0]["loss"]


def failing_step(before: int, what: Callable[[], None]) -> Callable[..., Any]:
    """A compile_step whose step number `before`, from 1, is preceded by something."""

    def make(*arguments: Any) -> Any:
        step, taken = compile_once(*arguments), []

        def run(*inputs: Any) -> Any:
            taken.append(1)
            if len(taken) == before:
                what()
            return step(*inputs)

        return run

    return make


def test_a_crash_costs_only_the_steps_since_the_checkpoint(
    whole: Path, tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(compile_step, "compile_step", failing_step(4, crash))
        with pytest.raises(RuntimeError, match="power cut"):
            loop.train(tiny, tmp_path)
    assert lines(tmp_path)[-1]["step"] == 3  # one line past the checkpoint of step 2
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "ep')
    loop.train(tiny, tmp_path)
    (crashed, resumed), _ = read_sessions(tmp_path)
    assert (crashed["last_step"], crashed["outcome"]) == (3, "failed: power cut")
    assert (resumed["first_step"], resumed["last_step"]) == (2, STEPS)
    assert_same_run(tiny, whole, tmp_path)


@pytest.mark.slow
def test_a_signal_lets_the_step_finish_and_saves_it(
    whole: Path, tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        stop = failing_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        patch.setattr(compile_step, "compile_step", stop)
        with pytest.raises(Interrupted, match="after step 3 of 6"):
            loop.train(tiny, tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 3  # in the middle of an epoch
    assert lines(tmp_path)[-1]["step"] == 3
    loop.train(tiny, tmp_path)
    assert_same_run(tiny, whole, tmp_path)


def test_a_signal_waits_for_the_line_under_way(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the means of the next line would leave out the steps before the stop."""
    config = replace(tiny, train=replace(tiny.train, log_every=2))
    with monkeypatch.context() as patch:
        stop = failing_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        patch.setattr(compile_step, "compile_step", stop)
        with pytest.raises(Interrupted, match="after step 4 of 6"):
            loop.train(config, tmp_path)
    (session,), _ = read_sessions(tmp_path)
    assert (session["last_step"], session["outcome"]) == (4, "interrupted")


@pytest.mark.slow
def test_a_stop_before_the_evaluation_only_puts_it_off(
    whole: Path, tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are saved first; and what the evaluation was to log is logged after all."""

    works, plain = iter([False, True, False]), hooks.evaluate

    def sometimes(*arguments: Any) -> Any:
        if next(works, True):
            return plain(*arguments)
        raise MemoryError("no room for the distances")

    monkeypatch.setattr(hooks, "evaluate", sometimes)
    for step in (4, STEPS):
        with pytest.raises(MemoryError):
            loop.train(tiny, tmp_path)
        with Checkpoints(tmp_path, read_only=True) as checkpoints:
            assert checkpoints.latest == step
            assert checkpoints.seal(step).evaluation is None
    loop.train(tiny, tmp_path)
    assert_same_run(tiny, whole, tmp_path)


def test_damage_to_the_last_checkpoint_and_the_log_is_undone(
    whole: Path, tiny: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    (workdir / "metrics.jsonl").write_text("null\n")
    (workdir / "config.json").write_text("{}")
    data = next((workdir / "checkpoints" / str(STEPS) / "d").iterdir())
    data.write_bytes(data.read_bytes()[:-1])
    loop.train(tiny, workdir)
    said = capsys.readouterr().out
    assert "is damaged" in said
    assert "going back to step 4" in said
    assert "metrics-damaged.jsonl" in said
    assert_same_run(tiny, whole, workdir)
    assert (workdir / "config.json").read_bytes() == (whole / "config.json").read_bytes()


def test_a_workdir_that_is_removed_ends_the_run(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "run"
    monkeypatch.setattr(
        compile_step, "compile_step", failing_step(2, lambda: shutil.rmtree(workdir))
    )
    with pytest.raises(UserError, match="was removed or renamed"):
        loop.train(tiny, workdir)
    assert not workdir.exists()


def test_a_run_starts_from_a_trained_model(whole: Path, tiny: Config, tmp_path: Path) -> None:
    config = replace(tiny, train=replace(tiny.train, epochs=1, evaluate_every=0))
    initial = read_initial(str(whole))
    put = partial(initial.put_into, data=None, info=print)
    state = create_train_state(create_task(config, 9, optax.constant_schedule(0.0)), trained=put)
    trained = final_state(tiny, whole)
    jax.tree.map(np.testing.assert_array_equal, state.params, trained.params)
    jax.tree.map(np.testing.assert_array_equal, state.batch_stats, trained.batch_stats)
    assert int(state.step) == 0
    loop.train(config, tmp_path, initial=initial)
    assert json.loads((tmp_path / "config.json").read_text())["run"]["initial"] == initial.digest


def test_reading_a_run_leaves_alone_what_is_being_written(whole: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    pending = workdir / "checkpoints" / "8.orbax-checkpoint-tmp"
    pending.mkdir()
    with Checkpoints(workdir, read_only=True) as checkpoints:
        assert checkpoints.latest == STEPS
    assert pending.is_dir()


def test_images_that_changed_end_the_run_before_it_goes_on(
    whole: Path, tiny: Config, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    config = checked((workdir / "config.json").read_bytes())
    assert config
    config["run"]["data"] = "of other images"
    (workdir / "config.json").write_text(json.dumps(with_checksum(config)))
    with pytest.raises(UserError, match="are not those that the run"):
        loop.train(tiny, workdir)


def test_a_second_process_is_refused_before_it_writes(tiny: Config, tmp_path: Path) -> None:
    """The first one may not have logged a step yet, so the config alone would not hold it off."""
    (tmp_path / "config.json").write_text("the first one's")
    with (
        run_lock(tmp_path, print),
        pytest.raises(UserError, match="another process is training"),
    ):
        loop.train(tiny, tmp_path)
    assert (tmp_path / "config.json").read_text() == "the first one's"


def test_a_finished_run_is_only_evaluated_again(
    whole: Path, tiny: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole / "metrics.jsonl").read_bytes()
    loop.train(tiny, whole)
    assert "the run is finished" in capsys.readouterr().out
    assert (whole / "metrics.jsonl").read_bytes() == before


def evaluate_run(config: Config, workdir: Path) -> RankingMetrics:
    sets = embed_run(config, workdir, Display())
    return evaluate_ranking(*sets, config.evaluate)


@pytest.mark.parametrize("which", ["latest", "best"])
def test_evaluating_the_run_repeats_its_numbers(whole: Path, tiny: Config, which: Any) -> None:
    config = replace(tiny, evaluate=replace(tiny.evaluate, checkpoint=which))
    found = evaluate_run(config, whole)
    testing = [line for line in lines(whole) if "mAP" in line]
    logged = testing[-1] if which == "latest" else max(testing, key=lambda line: line["mAP"])
    assert found.mAP == pytest.approx(logged["mAP"], abs=1e-6)
    assert found.rank1 == pytest.approx(logged["rank1"], abs=1e-6)


@pytest.mark.slow
def test_an_evaluation_may_average_with_mirror_images(whole: Path, tiny: Config) -> None:
    config = replace(tiny, evaluate=replace(tiny.evaluate, flip_average=True))
    _, network, params, stats = restore_run(whole, "latest")
    embed = make_embed(network)
    for found, name in zip(embed_run(config, whole, Display()), ("query", "gallery"), strict=True):
        split = open_split(tiny.data, name)
        plain, mirrored = (
            np.concatenate(
                [
                    np.asarray(embed(params, stats, jnp.asarray(images[:, :, ::step])))[:count]
                    for images, count in ordered_batches(split, tiny.data, 8)
                ]
            )
            for step in (1, -1)
        )
        np.testing.assert_allclose(found.features, (plain + mirrored) / 2, rtol=1e-4, atol=1e-6)
        assert np.abs(plain - mirrored).max() > 1e-3


def test_a_loss_that_is_no_number_ends_the_run(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*arguments: Any) -> Any:
        step = compile_once(*arguments)

        def run(*inputs: Any) -> Any:
            state, metrics = step(*inputs)
            return state, {**metrics, "loss": metrics["loss"] * np.nan}

        return run

    monkeypatch.setattr(compile_step, "compile_step", make)
    with pytest.raises(UserError, match=r"loss is nan at step 1; lower optim\.peak_lr"):
        loop.train(tiny, tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None


@pytest.fixture(scope="module")
def stopped(
    tiny: Config, tmp_path_factory: pytest.TempPathFactory, project: Path
) -> tuple[int, str, Path]:
    """Exit code, standard error and workdir of train.py, sent SIGTERM while it trains."""
    config = replace(tiny, train=replace(tiny.train, epochs=100_000, evaluate_every=0))
    groups = ", ".join(
        f"{group}={group.capitalize()}Config(**{fields!r})"
        for group, fields in asdict(config).items()
    )
    folder = tmp_path_factory.mktemp("stopped")
    file, workdir = folder / "run.py", folder / "run"
    file.write_text(f"from pmm_jax.config import *\nconfig = Config({groups})\n")
    command = [sys.executable, "train.py", "--config", str(file), "--workdir", str(workdir)]
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (workdir / "metrics.jsonl").is_file() and lines(workdir)[1:]:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    return process.returncode, error, workdir


def test_train_py_saves_on_sigterm(stopped: tuple[int, str, Path]) -> None:
    code, _, workdir = stopped
    assert code not in (0, -signal.SIGTERM)  # it ended by itself, and says that it is not done
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest == lines(workdir)[-1]["step"] >= 2


def test_train_py_says_in_one_line_that_it_was_stopped(stopped: tuple[int, str, Path]) -> None:
    _, error, workdir = stopped
    assert error.count("\n") == 1
    assert f"after step {lines(workdir)[-1]['step']} of" in error
