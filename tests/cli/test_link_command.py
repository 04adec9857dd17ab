"""`pmm link`, from a table of embeddings to identities and their page."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.cli.link import link_command
from pmm_jax.config import ModelConfig
from pmm_jax.embedding_table import EmbeddingTable, write_table
from pmm_jax.errors import UserError
from pmm_jax.export.model_file import export_model
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from tests.test_calibration import MADE

NAMES = [f"{number}.png" for number in range(8)]


@pytest.fixture(scope="module")
def model() -> Model:
    sizes = ModelConfig(stage_sizes=(1, 1, 1, 1), width=1 / 8, embedding_size=16)
    network = create_network(sizes, "baseline", 3)
    return Model("baseline", network, *init_params(network, 0), (32, 16))


@pytest.fixture
def table(model: Model, monkeypatch: pytest.MonkeyPatch) -> EmbeddingTable:
    """Two people seen by two cameras, twice each; the last image is nowhere."""
    monkeypatch.setattr("pmm_jax.api.load_any", lambda _: model)
    for name in NAMES[:7]:
        Image.new("RGB", (8, 16), "red").save(name)
    person = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    features = np.eye(16, dtype=np.float32)[person] + 0.01 * np.arange(8)[:, None]
    columns = {
        "path": np.array(NAMES),
        "id": np.array(["<b>Ann</b>", "Bob"])[person],
        "camera": np.repeat([1, 2], 4),
        "track": person,
        "time": np.array([0.0, 2, 1, 3, 10, 12, 11, 13]),
    }
    return EmbeddingTable(features.astype(np.float32), columns, model.fingerprint)


def test_identities_and_their_page(
    table: EmbeddingTable, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(Path("a.npz"), table)
    words = ["a.npz", "--model", "m", "--threshold", "0.5", "--page", "page.html"]
    link_command([*words, "--out", "found.csv", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert found["tracklets"] == 4
    assert found["identities"] == 2
    assert found["figures"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "idf1": 1.0}
    rows = list(csv.DictReader(Path("found.csv").read_text().splitlines()))
    assert [row["identity"] for row in rows] == list("11221122")
    assert [row["path"] for row in rows] == NAMES
    page = Path("page.html").read_text()
    assert page.count("data:image/webp") == 7
    assert "7.png" in page
    assert "<b>" not in page
    link_command(words[:5])
    said = capsys.readouterr().out
    assert "2 identities, by euclidean distances below 0.5" in said
    assert "IDF1 100.0%" in said
    assert Path("identities.csv").read_bytes() == Path("found.csv").read_bytes()


def test_a_calibrated_model_needs_no_threshold(
    table: EmbeddingTable,
    model: Model,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_table(Path("a.npz"), table)
    with pytest.raises(UserError, match="m has no threshold; run pmm calibrate m"):
        link_command(["a.npz", "--model", "m"])
    own = replace(MADE, threshold=0.5, interval=(0.4, 0.6), distance="euclidean")
    monkeypatch.setattr(model, "calibration", own)
    link_command(["a.npz", "--model", "m"])
    said = capsys.readouterr().out
    assert "below 0.5" in said
    assert "not calibrated on camera 2" in said


def test_without_times_a_note_says_so(
    table: EmbeddingTable, capsys: pytest.CaptureFixture[str]
) -> None:
    del table.columns["time"]
    write_table(Path("a.npz"), table)
    link_command(["a.npz", "--model", "m", "--threshold", "0.5"])
    assert "note: without times" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "link needs tracklets and a model"),
        (["a.npz"], "link needs tracklets and a model"),
        (["a.npz", "b.npz", "--model", "m"], "link needs tracklets and a model"),
        (["a.npz", "--model", "m", "--out", "a.txt"], "must end in .csv"),
        (["a.npz", "--model", "m", "--page", "a.csv"], "must end in .html"),
        (["a.npz", "--model", "m", "--out", "no/a.csv"], "there is no folder no"),
        (["a.npz", "--model", "m", "--treshold", "1"], "no field --treshold"),
    ],
)
def test_what_is_typed_wrong_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        link_command(words)


def test_another_models_table_is_refused(table: EmbeddingTable) -> None:
    write_table(Path("a.npz"), replace(table, fingerprint="0" * 64))
    with pytest.raises(UserError, match="another model"):
        link_command(["a.npz", "--model", "m", "--threshold", "1"])


def test_export_model_keeps_the_threshold(model: Model, tmp_path: Path) -> None:
    """What link reads back from a file."""
    from pmm_jax.api import load

    own = replace(MADE, model=model.fingerprint)
    other = Model(
        model.kind,
        model.network,
        model.params,
        model.batch_stats,
        model.image_size,
        calibration=own,
    )
    export_model(other, tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").calibration == own
