"""Names from anywhere (folders, images, people, cameras, commands) stay text on every page."""

import base64
import hashlib
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.config import Config, DataConfig
from pmm_jax.data.prepare import prepare
from pmm_jax.display import Display
from pmm_jax.evaluation import Embeddings
from pmm_jax.methods import create_model
from pmm_jax.report import several
from pmm_jax.report.explanation.explanation import explain_identities, explain_match
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from pmm_jax.report.runs import Runs
from pmm_jax.report.sections import SECTIONS, attention, embedding_map, result
from pmm_jax.workdir.run_config import register_run
from pmm_jax.workdir.sessions import Command, open_session

EVIL = "</script><script>alert(1)</script>"
TAG = "\"'><img src=x onerror=alert(1)>"
RUN = "<img src=x onerror=alert(1)> $\\x$"
"""A folder's name; as TeX it would be an error."""
QUIET = Display(quiet=True)


class Page(HTMLParser):
    """A page as a browser reads it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(path.read_text())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def checked_page(path: Path, scripts: int) -> Page:
    """A page, after looking for what only a name can have brought."""
    page = Page(path)
    attributes = [item for _, found in page.tags for item in found.items()]
    assert [name for name, _ in attributes if name.startswith("on")] == []
    sources = [value or "" for name, value in attributes if name == "src"]
    assert [source for source in sources if not source.startswith("data:")] == []
    links = [value or "" for name, value in attributes if name.endswith("href")]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert len(page.scripts) == scripts
    (policy,) = (found["content"] for _, found in page.tags if "http-equiv" in found)
    digest = hashlib.sha256(page.scripts[-1].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in (policy or "")
    return page


class Answers:
    """Stands for a model."""

    image_size = 96, 32
    classes = 4
    params: dict[str, np.ndarray]

    def __init__(self, config: Config) -> None:
        self.network, self.params = create_model(config, self.classes), {"kernel": np.zeros(9)}

    def embed(self, images: list[np.ndarray], batch_size: int) -> np.ndarray:
        return np.random.default_rng(0).random((len(images), 48))

    def classify(self, images: list[np.ndarray], batch_size: int) -> np.ndarray:
        return np.arange(len(images))

    def explain(self, images: list[np.ndarray], *_: object) -> np.ndarray:
        return np.random.default_rng(0).random((len(images), 3, 6, 2)).astype(np.float32)

    def explain_pair(self, images: list[np.ndarray], *_: object) -> tuple[np.ndarray, np.ndarray]:
        return self.explain(images), self.explain(images)


@pytest.fixture
def evil(tiny: Config, tmp_path: Path) -> Config:
    """Config of a set of images in CSV whose paths, people and cameras are code."""
    lines = ["path,id,camera,split"]
    rng = np.random.default_rng(0)
    for number in range(32):
        split = ("train", "query", "gallery", "gallery")[number // 8]
        path = f"{number} {EVIL}{TAG}.png"
        file = tmp_path / "set" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40 + number, 24, 3), np.uint8)).save(file)
        cells = (path, f"{number % 4}{EVIL}{TAG}", f"{number // 8}{EVIL}{TAG}", split)
        lines.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
    (tmp_path / "set" / "set.csv").write_text("\n".join(lines))
    data = replace(
        tiny.data, name="folder", root=str(tmp_path / "set/set.csv"), cache_dir=str(tmp_path / "p")
    )
    prepare(data)
    return replace(tiny, data=data)


def evil_run(config: Config, workdir: Path, seed: int = 0) -> RunData:
    register_run(workdir, config)
    line = {"step": 1, "epoch": 1, "loss": 9.0, "accuracy": 0.5, "learning_rate": 0.1}
    (workdir / "metrics.jsonl").write_text(json.dumps(line))
    command = Command(f"pmm train {EVIL}{TAG}", TAG, replace(config, data=DataConfig(name=EVIL)))
    with open_session(workdir, config, command, print) as session:
        session.start(0)
        session.step = 6
    run = RunData(workdir, QUIET)
    rng = np.random.default_rng(seed)
    run._embedded = cast(
        tuple[Embeddings, Embeddings],
        tuple(
            Embeddings(
                rng.random((len(split), 8), np.float32),
                split.identities,
                split.cameras,
                np.asarray(split.filenames),
                split.names,
                split.camera_names,
            )
            for split in (run.split("query"), run.split("gallery"))
        ),
    )
    run._results["model"] = Answers(config), TAG
    return run


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what takes seconds and shows no name."""
    places = np.random.default_rng(0).random
    monkeypatch.setattr(embedding_map, "tsne", lambda features, _: places((len(features), 2)))
    color = {"color": None, "color_missing": TAG}
    monkeypatch.setattr(result, "_color", lambda _: color)
    monkeypatch.setattr(attention, "_overlap", lambda _: None)


@pytest.mark.usefixtures("quick")
def test_names_are_text_on_the_pages_of_runs(evil: Config, tmp_path: Path) -> None:
    run = evil_run(evil, tmp_path / RUN)
    path = run.split("query").filenames[0]
    run.missing[path] = TAG
    write_page(run, SECTIONS, tmp_path / "page.html")
    values = json.loads((tmp_path / "page.json").read_text())
    assert [name for name, found in values.items() if "missing" in found] == []
    page = checked_page(tmp_path / "page.html", scripts=2)
    on_map = json.loads(page.scripts[0])
    assert on_map["points"] == values["embedding_map"]["points"]
    for text in (RUN, EVIL, f"pmm train {EVIL}{TAG}", path, f"0{EVIL}{TAG}", f"1{EVIL}{TAG}"):
        assert text in page.text
    alts = [found.get("alt") for _, found in page.tags]
    assert f"Query {path}" in alts

    other = evil_run(evil, tmp_path / "other" / RUN, seed=1)
    runs = Runs([run.workdir, other.workdir], QUIET)
    runs.runs = [run, other]
    write_page(runs, several.SECTIONS, tmp_path / "several.html")
    values = json.loads((tmp_path / "several.json").read_text())
    assert [name for name, found in values.items() if "missing" in found] == []
    assert f"other/{RUN}" in checked_page(tmp_path / "several.html", scripts=1).text


def test_names_are_text_on_the_pages_of_images(tiny: Config, tmp_path: Path) -> None:
    images = [np.zeros((9, 4, 3), np.uint8)] * 2
    model = cast(Model, Answers(tiny))
    for explain in (explain_identities, explain_match):
        found = explain(model, RUN, [EVIL, TAG], images, QUIET)
        found.write(tmp_path / "page.html")
        page = checked_page(tmp_path / "page.html", scripts=1)
        assert all(text in page.text for text in (RUN, EVIL, TAG))
