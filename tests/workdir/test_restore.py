"""Which checkpoint a run is read from."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax import inference
from pmm_jax.config import Config
from pmm_jax.config_check import check
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.inference import embed_run
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.training.state import TrainState
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.restore import restore_run
from pmm_jax.workdir.run_config import register_run

IDS = 9
CHECKPOINTS: tuple[Literal["best", "latest"], ...] = ("best", "latest")


@pytest.fixture(scope="module")
def run(tiny: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose parameters are those of the step, and whose first step is its best."""
    workdir = tmp_path_factory.mktemp("run")
    register_run(workdir, check(tiny))
    trees = init_params(create_model(tiny, IDS), 0)
    with Checkpoints(workdir) as checkpoints:
        for step, mAP in ((1, 0.9), (2, 0.1)):
            filled = jax.tree.map(lambda x, step=step: jnp.full_like(x, step), trees)
            params, batch_stats = filled
            checkpoints.save(step, TrainState(jnp.int32(step), params, batch_stats, ()))
            checkpoints.add_evaluation(step, {"mAP": mAP})
    return workdir


@pytest.mark.parametrize(("checkpoint", "step"), [("latest", 2), ("best", 1)])
def test_the_named_checkpoint_is_read(run: Path, checkpoint: str, step: int) -> None:
    lines: list[str] = []
    _, _, params, batch_stats = restore_run(run, checkpoint, lines.append)
    for leaf in jax.tree.leaves((params, batch_stats)):
        assert (np.asarray(leaf) == step).all()
    assert lines == [f"{checkpoint} checkpoint, step {step}"]


def test_an_evaluation_reads_the_one_that_its_settings_name(
    run: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def restore(workdir: Path, checkpoint: str, report: object) -> None:
        read.append(checkpoint)
        raise UserError("read")

    monkeypatch.setattr(inference, "restore_run", restore)
    for checkpoint in CHECKPOINTS:
        evaluate = replace(tiny.evaluate, checkpoint=checkpoint)
        with pytest.raises(UserError, match="read"):
            embed_run(replace(tiny, evaluate=evaluate), run, Display(quiet=True))
    assert read == list(CHECKPOINTS)
