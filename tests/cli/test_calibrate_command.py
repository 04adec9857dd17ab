"""`pmm calibrate`: what it stores, where, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pmm_jax.api import load
from pmm_jax.cli.calibrate import calibrate_command
from pmm_jax.embedding_table import EmbeddingTable, write_table
from pmm_jax.errors import UserError
from pmm_jax.export.model_file import export_model
from pmm_jax.search import calibrate
from pmm_jax.workdir.calibration_file import read_calibration
from tests.cli.entry import Program
from tests.evaluation.test_threshold import people
from tests.test_model_file import INFO, made

MODEL = made(INFO.config)


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model file, and what pmm embed would write of people with it."""
    monkeypatch.setattr("pmm_jax.evaluation.threshold.RESAMPLES", 50)
    export_model(MODEL, Path("m.safetensors"))
    features, ids, cameras = people(0)
    columns = {"path": np.array([f"{i}.png" for i in range(len(ids))]), "id": ids}
    table = EmbeddingTable(features, {**columns, "camera": cameras}, MODEL.fingerprint)
    write_table(Path("some.npz"), table)


def test_a_model_file_keeps_its_weights_and_gains_a_threshold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, info = load_file("m.safetensors"), load("m.safetensors").info
    assert load("m.safetensors").calibration is None
    calibrate_command(["m.safetensors", "some.npz", "--false-match-rate", "0.02", "--json"])
    said = json.loads(capsys.readouterr().out)
    after, model = load_file("m.safetensors"), load("m.safetensors")
    assert {name: value.tobytes() for name, value in before.items()} == {
        name: value.tobytes() for name, value in after.items()
    }
    assert model.calibration is not None
    assert model.calibration.as_json() == {
        **said,
        **{name: tuple(value) for name, value in said.items() if isinstance(value, list)},
    }
    assert model.info == info
    assert model.calibration.false_match_rate == 0.02
    # Again, with words.
    calibrate_command(["m.safetensors", "some.npz", "--false-match-rate=0.1"])
    said = capsys.readouterr().out
    assert "false matches  10.000% of pairs of different people" in said
    assert "from 30 people by 3 cameras: 10,440 pairs of different people, 360 of one" in said
    again = load("m.safetensors").calibration
    assert again is not None
    assert again.threshold > model.calibration.threshold


def test_a_run_keeps_it_in_its_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    features, ids, cameras = people(0)
    images = calibrate.LabeledImages(features, ids, cameras, "folder", "f00d")
    asked = []

    def labeled(*words: object) -> calibrate.LabeledImages:
        asked.append(words[:3])
        return images

    monkeypatch.setattr(calibrate, "labeled_run", labeled)
    monkeypatch.setattr("pmm_jax.api.load", lambda *_: MODEL)
    words = ["run", "--checkpoint=best", "--data.root", "moved"]
    calibrate_command([*words, "--false-match-rate=0.02"])
    found = read_calibration(Path("run"))
    assert found is not None
    assert (found.model, found.data_fingerprint) == (MODEL.fingerprint, "f00d")
    assert [str(word) for word in asked[0]] == ["run", "best", "moved"]
    assert "stored in run/calibration.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "calibrate needs a model: pmm calibrate MODEL [SOURCE]"),
        (["m.safetensors", "some.npz", "more"], "calibrate needs a model"),
        (["m.safetensors"], "m.safetensors is a file, which knows no images"),
        (["hf://some/body", "some.npz"], "can't be changed; download it"),
        (["m.safetensors", "some.npz", "--false-match-rate", "1"], "false_match_rate is 1.0"),
        (["m.safetensors", "some.npz", "--false-match-rate", "1e-5"], "and 10 are needed"),
        (["none", "some.npz"], "none"),
    ],
)
def test_what_cannot_be_done_is_one_line(refused: Program, words: list[str], said: str) -> None:
    whole = Path("m.safetensors").read_bytes()
    assert said in refused("pmm_jax", "calibrate", *words)
    assert Path("m.safetensors").read_bytes() == whole


def test_another_models_embeddings_are_refused() -> None:
    features = np.ones((3, 2), np.float32)
    columns = {"path": np.array(["a", "b", "c"]), "id": np.arange(3)}
    write_table(Path("other.npz"), EmbeddingTable(features, columns, "0" * 64))
    with pytest.raises(UserError, match="another model"):
        calibrate_command(["m.safetensors", "other.npz"])
