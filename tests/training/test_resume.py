"""A run that was stopped and goes on is the run that was never stopped, to the last bit."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from pmm_jax.config import Config
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.training import compile_step, hooks, loop
from pmm_jax.training.initial import create_train_state, read_initial
from pmm_jax.training.train_step import create_task
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.run_config import run_lock
from pmm_jax.workdir.seal import checked, with_checksum
from pmm_jax.workdir.sessions import read_sessions
from tests.training.conftest import STEPS, lines

PLAIN = compile_step.compile_step


def final_state(config: Config, workdir: Path) -> Any:
    task = create_task(config, 9, optax.constant_schedule(0.0))
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest == STEPS
        state = create_train_state(task)
        return jax.device_get(checkpoints.restore(STEPS, jax.tree.map(jax.numpy.asarray, state)))


def assert_same_run(config: Config, one: Path, other: Path) -> None:
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    jax.tree.map(
        np.testing.assert_array_equal, final_state(config, one), final_state(config, other)
    )


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
            lambda task, *arguments: PLAIN(replace(task, config=tiny), *arguments),
        )
        loop.train(config, tmp_path)
    assert lines(tmp_path)[0]["loss"] != lines(whole)[0]["loss"]


def failing_step(before: int, what: Callable[[], None]) -> Callable[..., Any]:
    """A compile_step whose step number `before`, from 1, is preceded by something."""

    def make(*arguments: Any) -> Any:
        step, taken = PLAIN(*arguments), []

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
    whole: Path, tiny: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = shutil.copytree(whole, tmp_path / "again")
    loop.train(tiny, workdir)
    assert "the run is finished" in capsys.readouterr().out
    for name in ("metrics.jsonl", "config.json"):
        assert (workdir / name).read_bytes() == (whole / name).read_bytes()


def test_a_loss_that_is_no_number_ends_the_run(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*arguments: Any) -> Any:
        step = PLAIN(*arguments)

        def run(*inputs: Any) -> Any:
            state, metrics = step(*inputs)
            return state, {**metrics, "loss": metrics["loss"] * np.nan}

        return run

    monkeypatch.setattr(compile_step, "compile_step", make)
    with pytest.raises(UserError, match=r"loss is nan at step 1; lower optim\.peak_lr"):
        loop.train(tiny, tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None
