"""Every example of docs/reference/api.md runs, in a folder where all that it names is tiny."""

import doctest
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs.demo import config as demo
from pmm_jax.api import Model
from pmm_jax.embedding_table import EmbeddingTable, write_table
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.registry import DATASETS, METHODS
from pmm_jax.training.state import TrainState
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.run_config import register_run
from tests.docs.api_page import PAGE, documented
from tests.docs.pages import blocks
from tests.docs.sandbox import PEOPLE as DRAWN
from tests.docs.sandbox import fill
from tests.extras import needs_export

TESTS = [test for one in documented() for test in one.doctests()]
MARKS = {
    "pmm_jax.train": [pytest.mark.slow],  # compiles a step, as many quick tests do
    "pmm_jax.evaluate": [pytest.mark.slow],
    "pmm_jax.export.onnx_file.export_onnx": [needs_export],
    "pmm_jax.export.stablehlo_file.export_stablehlo": [needs_export, pytest.mark.slow],
}
PEOPLE, CAMERAS = 12, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    fill(folder, replace(DRAWN, test_identities=3), photographed=9)
    (folder / "data/toys").mkdir()
    for name in ("train-7-001.png", "query-8-001.png", "gallery-8-002.png"):
        Image.new("RGB", (8, 16)).save(folder / "data/toys" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        model = write_run(Path("runs/demo"))
        write_people(Path("people.npz"), model.fingerprint)
    return folder


@pytest.fixture(scope="module")
def names(folder: Path) -> dict[str, Any]:
    """What the page says that examples begin with."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(next(block.text for block in blocks(PAGE) if block.language == "python"), names)
    return names


def write_run(workdir: Path) -> Model:
    """A run of the demo's config, narrower and untrained."""
    config = replace(demo, model=replace(demo.model, width=1 / 16))
    register_run(workdir, config)
    network = create_model(config, 260)
    params, batch_stats = init_params(network, 0)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(1, TrainState(jnp.int32(1), params, batch_stats, ()))
    return Model("pmm", network, params, batch_stats, config.data.image_size)


def write_people(path: Path, fingerprint: str) -> None:
    """Embeddings of people whom each camera saw twice, once as a query."""
    rng = np.random.default_rng(0)
    person, camera, shot = (x.ravel() for x in np.indices((PEOPLE, CAMERAS, 2)))
    looks = rng.normal(0, 1, (PEOPLE, 16))[person]
    names = zip(person + 1, camera + 1, shot, strict=True)
    columns = {
        "path": np.array([f"{person}_c{camera}_{shot}.jpg" for person, camera, shot in names]),
        "id": person + 1,
        "camera": camera + 1,
        "split": np.where(shot, "gallery", "query"),
        "track": person,
        "time": 100.0 * camera + 5 * person + shot,
    }
    features = (looks + rng.normal(0, 0.6, looks.shape)).astype(np.float32)
    write_table(path, EmbeddingTable(features, columns, fingerprint))


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example registers is forgotten after it."""
    for registry in (DATASETS, METHODS):
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))


@pytest.mark.parametrize(
    "test",
    [pytest.param(test, id=test.name, marks=MARKS.get(test.name, [])) for test in TESTS],
)
def test_an_example_runs(
    test: doctest.DocTest,
    names: dict[str, Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    test.globs = dict(names)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)
