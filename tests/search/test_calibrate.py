"""Who is calibrated on, by which distance, and how ids and cameras of a table are read."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pmm_jax.calibration import parse_calibration
from pmm_jax.config import Config, EvaluateConfig
from pmm_jax.display import Display
from pmm_jax.embedding_table import EmbeddingTable
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.threshold import find_threshold
from pmm_jax.search import calibrate
from pmm_jax.search.calibrate import (
    LabeledImages,
    calibrate_model,
    labeled_run,
    labeled_table,
)
from pmm_jax.search.exact import Distance
from tests.evaluation.test_threshold import people

CONFIG = Config(evaluate=EvaluateConfig(flip_average=True, checkpoint="best"))


def embeddings(identities: list[int], paths: list[str]) -> Embeddings:
    count = len(identities)
    features = np.arange(count, dtype=np.float32)[:, None] + 10 * len(paths)
    cameras = np.arange(count) % 2 + 1
    return Embeddings(features, np.array(identities), cameras, np.array(paths))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A run trained on people 1 and 2; the configs that it was embedded by."""
    asked: list[Config] = []

    def embed(config: Config, *_: Any) -> tuple[Embeddings, Embeddings]:
        asked.append(config)
        return embeddings([2, 7], ["a", "b"]), embeddings([7, 2, 0, 9], ["b", "c", "d", "e"])

    trained = SimpleNamespace(identities=np.array([1, 2, 2]), fingerprint="f00d")
    monkeypatch.setattr(calibrate, "embed_run", embed)
    monkeypatch.setattr(calibrate, "load_run_config", lambda _: CONFIG)
    monkeypatch.setattr(calibrate, "open_split", lambda *_: trained)
    return asked


def test_people_that_were_trained_on_are_left_out(
    run: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    found = labeled_run(Path("run"), "latest", "moved", Display())
    assert found.identities.tolist() == [7, 0, 9]  # b, in query and gallery, once
    assert found.cameras.tolist() == [2, 1, 2]
    assert found.data_fingerprint == "f00d"
    assert "2 images of people that the run was trained on" in capsys.readouterr().out
    # What galleries hold isn't averaged with the mirror image.
    expected = EvaluateConfig(flip_average=False, checkpoint="latest")
    assert run == [replace(CONFIG, data=replace(CONFIG.data, root="moved"), evaluate=expected)]


@pytest.mark.usefixtures("run")
def test_a_run_trained_on_everybody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = SimpleNamespace(identities=np.array([2, 7, 9]), fingerprint="f00d")
    monkeypatch.setattr(calibrate, "open_split", lambda *_: trained)
    with pytest.raises(UserError, match="trained on everybody"):
        labeled_run(Path("run"), "latest", "", Display(quiet=True))


def table(**columns: Any) -> EmbeddingTable:
    arrays = {name: np.array(column) for name, column in columns.items()}
    count = len(next(iter(arrays.values())))
    paths = np.array([f"{i}.png" for i in range(count)])
    return EmbeddingTable(np.ones((count, 2), np.float32), {"path": paths, **arrays}, "f" * 64)


@pytest.mark.parametrize(
    ("ids", "known"),
    [
        ([-1, 0, 5, 5], [0, 0, 1, 1]),
        ([np.nan, 0.0, 5.0, -1.0], [0, 0, 1, 0]),
        (["", "0000", "0007", "-1"], [0, 0, 1, 0]),
        (["Ann", " ", "nan", "Bob"], [1, 0, 0, 1]),
    ],
)
def test_ids_that_stand_for_nobody(ids: list[Any], known: list[int]) -> None:
    found = labeled_table(table(id=ids), "some.csv")
    assert (found.identities > 0).astype(int).tolist() == known
    assert (found.cameras == -1).all()
    assert found.known_cameras() == ()


def test_cameras_by_name() -> None:
    found = labeled_table(table(id=[1, 1, 2, 0], camera=["roof", "", "0", "gate"]), "some.csv")
    assert (found.cameras >= 0).tolist() == [True, False, True, True]
    assert len(set(found.cameras[found.cameras >= 0].tolist())) == 3
    assert found.known_cameras() == ("0", "roof")  # by the gate nobody is known
    with pytest.raises(UserError, match="no column id"):
        labeled_table(table(camera=[1]), "some.csv")


def model(distance: Distance) -> Any:
    config = Config(evaluate=EvaluateConfig(distance=distance))
    return SimpleNamespace(info=SimpleNamespace(config=config), fingerprint="f" * 64)


@pytest.fixture(scope="module")
def images() -> LabeledImages:
    features, identities, cameras = people(0)
    names = {0: "roof\n", 1: "gate", 2: "hall"}
    return LabeledImages(features, identities, cameras, "a\tb.csv", None, names)


def test_distances_are_the_models(images: LabeledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmm_jax.evaluation.threshold.RESAMPLES", 50)
    features, labels = images.features, (images.identities, images.cameras)
    found = calibrate_model(model("euclidean"), images, 0.02, 0)
    assert found.threshold == find_threshold(features, *labels, 0.02, 0).threshold
    assert (found.distance, found.model) == ("euclidean", "f" * 64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = calibrate_model(model("cosine"), images, 0.02, 0)
    expected = find_threshold(unit, *labels, 0.02, 0).threshold
    assert found.threshold == pytest.approx(expected, rel=1e-5)
    assert found.distance == "cosine"
    # Names of others' choosing come back from the file.
    assert found.cameras == ("gate", "hall", r"roof\n")
    assert parse_calibration(found.as_json()) == found
    assert found.warnings(["roof\n", "hall"]) == []


def test_weights_alone_have_no_distance(images: LabeledImages) -> None:
    weights: Any = SimpleNamespace(info=None)
    with pytest.raises(UserError, match="weights alone"):
        calibrate_model(weights, images, 0.02, 0)
