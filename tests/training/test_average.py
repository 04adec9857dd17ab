"""The moving average of the weights: its formula, its checkpoints, and that tests use it."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from pmm_jax.config import Config
from pmm_jax.display import Display
from pmm_jax.errors import Interrupted
from pmm_jax.evaluation import RankingMetrics
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.inference import embed_run, make_embed
from pmm_jax.model.pmm import Tree
from pmm_jax.training import compile_step, hooks, loop
from pmm_jax.training.state import TrainState
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.restore import restore_run
from pmm_jax.workdir.run_log import read_metrics


def test_against_its_formula() -> None:
    transform = optax.sgd(0.1)
    state = TrainState.create({"w": jnp.array([1.0, -2.0])}, {}, transform, ema=True)
    weights, average = np.array([1.0, -2.0]), np.array([1.0, -2.0])
    for t in range(40):
        gradient = np.array([np.sin(t), 1.0])
        state = state.apply_gradients(transform, {"w": jnp.asarray(gradient)}, {}, 0.8)
        weights = weights - 0.1 * gradient
        decay = min(0.8, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * weights
        np.testing.assert_allclose(state.eval_params["w"], average, rtol=1e-5, atol=1e-6)
    assert abs(state.eval_params["w"] - state.params["w"]).min() > 0.01


def test_a_checkpoint_without_an_average_is_what_it_was_before_there_were_any(
    tmp_path: Path,
) -> None:
    state = TrainState.create(
        {"w": jnp.ones(2)}, {"mean": jnp.ones(2)}, optax.sgd(0.1, momentum=0.9)
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
    with ocp.PyTreeCheckpointer() as reader:
        saved = reader.metadata(tmp_path / "checkpoints" / "1").item_metadata.tree
    assert set(saved) == {"step", "params", "batch_stats", "opt_state"}


@pytest.fixture(scope="module")
def averaged(tiny: Config) -> Config:
    return replace(tiny, optim=replace(tiny.optim, ema_decay=0.15))


class Watched(NamedTuple):
    """A run whose states and evaluations were looked at."""

    workdir: Path
    last: RankingMetrics
    states: dict[int, TrainState]
    """After each step."""
    tested: dict[int, list[Tree]]
    """The parameters that embedded images after each step, as often as they did."""


@pytest.fixture(scope="module")
def whole(averaged: Config, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    workdir = tmp_path_factory.mktemp("averaged")
    states: dict[int, TrainState] = {}
    tested: dict[int, list[Tree]] = defaultdict(list)

    plain = compile_step.compile_step

    def watched_step(*arguments: Any) -> Any:
        step = plain(*arguments)

        def run(*inputs: Any) -> Any:
            state, metrics = step(*inputs)
            states[int(state.step)] = jax.device_get(state)
            return state, metrics

        return run

    def watched_embed(*arguments: Any) -> Any:
        embed = make_embed(*arguments)

        def run(params: Tree, *rest: Any) -> Any:
            tested[max(states)].append(jax.device_get(params))
            return embed(params, *rest)

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_step, "compile_step", watched_step)
        patch.setattr(hooks, "make_embed", watched_embed)
        return Watched(workdir, loop.train(averaged, workdir), states, tested)


def all_differ(one: Tree, other: Tree) -> bool:
    differ = jax.tree.map(lambda one, other: bool((one != other).any()), one, other)
    return all(jax.tree.leaves(differ))


def test_each_evaluation_of_a_run_tests_the_average(whole: Watched) -> None:
    assert set(whole.tested) == {4, 6}
    for step, every in whole.tested.items():
        state = whole.states[step]
        assert all_differ(state.params, state.eval_params)
        for params in every:
            jax.tree.map(np.testing.assert_array_equal, params, state.eval_params)


def test_a_run_keeps_the_average_that_its_config_sets(whole: Watched) -> None:
    for step in range(2, 7):
        decay = min(0.15, step / (9 + step))
        expected = jax.tree.map(
            lambda average, weights, decay=decay: decay * average + (1 - decay) * weights,
            whole.states[step - 1].eval_params,
            whole.states[step].params,
        )
        jax.tree.map(
            lambda found, expected: np.testing.assert_allclose(
                found, expected, rtol=1e-5, atol=1e-6
            ),
            whole.states[step].eval_params,
            expected,
        )


def test_eval_py_finds_the_average(whole: Watched, averaged: Config) -> None:
    _, _, params, _ = restore_run(whole.workdir, "latest")
    jax.tree.map(np.testing.assert_array_equal, params, whole.states[6].eval_params)
    again = evaluate_ranking(
        *embed_run(averaged, whole.workdir, Display(quiet=True)),
        averaged.evaluate,
    )
    np.testing.assert_array_equal(again.average_precision, whole.last.average_precision)
    assert read_metrics(whole.workdir)[-1]["mAP"] == whole.last.mAP


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_its_average(
    whole: Watched, averaged: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hooks, "any_process", lambda _: True)  # as if a signal came in the first step
        with pytest.raises(Interrupted):
            loop.train(averaged, tmp_path)
    loop.train(averaged, tmp_path)
    one, other = (restore_run(folder, "latest")[2] for folder in (whole.workdir, tmp_path))
    jax.tree.map(np.testing.assert_array_equal, one, other)
