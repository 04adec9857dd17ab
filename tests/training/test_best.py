"""Which checkpoints a run keeps, by runs whose steps and evaluations are stubs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import Config
from pmm_jax.evaluation import RankingMetrics
from pmm_jax.training import compile_step, hooks, loop
from pmm_jax.workdir.checkpoint import Checkpoints

LOSSES = ("loss", "accuracy", "triplet1", "cross_entropy1")


def metrics_of(mAP: float) -> RankingMetrics:
    values = np.array([mAP])
    return RankingMetrics(np.full(50, mAP), mAP, mAP, 1, mAP, values, values, np.ones(1))


def train_with(
    config: Config, workdir: Path, figures: list[float], patch: pytest.MonkeyPatch
) -> None:
    """A run of 2 steps an epoch, with an evaluation after each epoch."""
    left: Iterator[float] = iter(figures)

    def step(state: Any, *_: Any) -> Any:
        return replace(state, step=state.step + 1), {name: jnp.float32(1) for name in LOSSES}

    patch.setattr(compile_step, "compile_step", lambda *_: step)
    patch.setattr(hooks, "evaluate", lambda *_, **__: (metrics_of(next(left)), None))
    train = replace(config.train, evaluate_every=1, epochs=len(figures))
    loop.train(replace(config, train=train), workdir)


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        pytest.param([0.2, 0.9, 0.5], 4, marks=pytest.mark.slow),
        ([0.9, 0.2, 0.5, 0.3], 2),
        pytest.param([0.2, 0.5, 0.9], 6, marks=pytest.mark.slow),
    ],
)
def test_the_best_by_map_and_the_latest_are_kept(
    tiny: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figures: list[float],
    best: int,
) -> None:
    train_with(tiny, tmp_path, figures, monkeypatch)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (2 * len(figures), best)
        assert checkpoints.identities(best) == 9  # its files are there
