"""`pmm export`: dispatch by the ending; what can't be exported is one line."""

from pathlib import Path

import jax.numpy as jnp
import pytest

import pmm_jax
from pmm_jax.cli.export import export_command
from pmm_jax.config import Config, DataConfig, MethodConfig, ModelConfig
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.training.state import TrainState
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.run_config import register_run
from tests.cli.entry import Program


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs what to read and what to write: pmm export MODEL FILE"),
        (["run"], "needs what to read and what to write"),
        (["--card", "run", "m.safetensors"], "needs what to read and what to write"),
        (["run", "m.pth"], "m.pth: its name must end in .safetensors"),
        (["run", "m.safetensors", "--cart"], "no field --cart; did you mean --card"),
        (["run", "m.safetensors", "--checkpoint", "last"], "checkpoint"),
        (["run", "m.safetensors"], "run: No such file"),
        ([".", "m.safetensors"], "holds no run"),
        (["hf://run", "m.safetensors"], "hf://run names no model; give hf://OWNER/NAME"),
    ],
)
def test_what_people_mistype(refused: Program, words: list[str], said: str) -> None:
    assert said in refused("pmm_jax", "export", *words)
    assert not Path("m.safetensors").exists()


def test_a_run_becomes_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(
        data=DataConfig(image_size=(96, 32), erase_size=16),
        model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16),
        method=MethodConfig(top_k=1, block=(1, 1)),
    )
    register_run(Path("run"), config)
    params, batch_stats = init_params(create_model(config, 5), 0)
    with Checkpoints(Path("run")) as checkpoints:
        checkpoints.save(1, TrainState(jnp.int32(1), params, batch_stats, ()))
    words = ["--card", "--data-license", "my own photographs", "--weights-license=MIT"]
    export_command(["run", "m.safetensors", *words])
    model = pmm_jax.load("m.safetensors")
    said = capsys.readouterr().out
    assert said == f"m.safetensors: pmm, fingerprint {model.fingerprint}\nREADME.md: its card\n"
    assert model.info is not None
    assert (model.info.data_license, model.info.weights_license) == ("my own photographs", "MIT")
    assert "my own photographs" in Path("README.md").read_text()
