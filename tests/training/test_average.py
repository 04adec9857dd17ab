"""The moving average of the weights: its formula, its checkpoints, and that tests use it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from pmm_jax.config import Config
from pmm_jax.errors import Interrupted
from pmm_jax.evaluation.measure import ranking, settled
from pmm_jax.training import loop
from pmm_jax.training.checkpoint import Checkpoints
from pmm_jax.training.display import Display
from pmm_jax.training.evaluate import embed_run
from pmm_jax.training.run_weights import restore_run
from pmm_jax.training.state import new_state
from pmm_jax.training.step import apply_gradient


def test_against_its_formula() -> None:
    transform = optax.sgd(0.1)
    state = new_state({"w": jnp.array([1.0, -2.0])}, {}, transform, averaged=True)
    weights, average = np.array([1.0, -2.0]), np.array([1.0, -2.0])
    for t in range(40):
        gradient = np.array([np.sin(t), 1.0])
        state = apply_gradient(transform, state, {"w": jnp.asarray(gradient)}, {}, 0.8)
        weights = weights - 0.1 * gradient
        keep = min(0.8, (1 + t) / (10 + t))
        average = keep * average + (1 - keep) * weights
        np.testing.assert_allclose(state.tested["w"], average, rtol=1e-5, atol=1e-6)
    assert abs(state.tested["w"] - state.params["w"]).min() > 0.01


def test_a_checkpoint_without_an_average_is_what_it_was_before_there_were_any(
    tmp_path: Path,
) -> None:
    state = new_state({"w": jnp.ones(2)}, {"mean": jnp.ones(2)}, optax.sgd(0.1, momentum=0.9))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
    folder = tmp_path / "checkpoints" / "1" / "default"
    with ocp.PyTreeCheckpointer() as reader:
        saved = reader.metadata(folder).item_metadata.tree
    assert set(saved) == {"step", "params", "stats", "optimizer"}


@pytest.fixture(scope="module")
def averaged(tiny: Config) -> Config:
    return replace(tiny, optim=replace(tiny.optim, average_decay=0.5))


@pytest.fixture(scope="module")
def whole(averaged: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    workdir = tmp_path_factory.mktemp("averaged")
    return workdir, loop.train(averaged, workdir)


def test_a_run_tests_the_average_and_eval_py_finds_it(
    whole: tuple[Path, Any], averaged: Config
) -> None:
    workdir, last = whole
    _, _, params, _ = restore_run(workdir, "latest")
    with Checkpoints(workdir, read_only=True) as checkpoints:
        step, shapes = checkpoints.latest, jax.tree.map(np.asarray, (params, _))
        assert step is not None
        weights, _ = checkpoints.restore_weights(step, shapes)
    differ = jax.tree.map(lambda one, other: bool((one != other).any()), params, weights)
    assert all(jax.tree.leaves(differ))
    again = ranking(
        *settled(*embed_run(averaged, workdir, Display(quiet=True)), averaged.evaluate),
        averaged.evaluate,
    )
    np.testing.assert_array_equal(again.average_precision, last.average_precision)


def test_a_run_that_was_stopped_goes_on_with_its_average(
    whole: tuple[Path, Any], averaged: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "any_of", lambda _: True)  # as if a signal came in the first step
        with pytest.raises(Interrupted):
            loop.train(averaged, tmp_path)
    loop.train(averaged, tmp_path)
    one, other = (restore_run(folder, "latest")[2] for folder in (whole[0], tmp_path))
    jax.tree.map(np.testing.assert_array_equal, one, other)
