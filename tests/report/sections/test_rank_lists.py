"""The section of rank lists, of a run whose model and images are made up."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pmm_jax.config import Config, EvaluateConfig
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.evaluate import preprocess_embeddings
from pmm_jax.report.page import write_page
from pmm_jax.report.section import Section
from pmm_jax.report.sections import rank_lists


class FakeModel:
    """Its first stage looks at the top left of queries and at the bottom right of results."""

    image_size = 128, 64
    network = SimpleNamespace(embedding_sizes={"stage1": 4, "stage2": 4})

    def __init__(self, parameters: int = 1000) -> None:
        self.params = {"kernel": np.broadcast_to(np.float32(0), parameters)}

    def explain_pair(
        self, images: list[np.ndarray], others: list[np.ndarray], batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        assert len(images) == len(others) >= batch_size
        cams = np.zeros((2, len(images), 2, 4, 2), np.float32)
        cams[0, :, 0, 0, 0] = cams[1, :, 0, 3, 1] = 2
        cams[:, :, 1, 1, 1] = 1
        return cams[0], cams[1]


def embeddings(count: int, name: str, seed: int, identities: np.ndarray) -> Embeddings:
    rng = np.random.default_rng(seed)
    return Embeddings(
        rng.normal(size=(count, 8)),
        identities,
        1 + np.arange(count) % 3,
        np.array([f"{name}/{i}.jpg" for i in range(count)]),
        {4: "Ada <4>"},
        {2: "door"},
    )


def made_up_run(settings: EvaluateConfig, unreadable: str = "", model: Any = None) -> Any:
    """What the section asks of a RunData."""
    query = embeddings(15, "query", 0, 1 + np.arange(15) % 5)
    gallery = embeddings(60, "gallery", 1, np.arange(60) % 8 - 1)

    ranked = preprocess_embeddings(query, gallery, settings)
    precision = np.random.default_rng(2).random(len(ranked[0].identities))
    metrics = SimpleNamespace(
        average_precision=precision, first_match=np.full(len(precision), 14172.0)
    )

    def image(path: str) -> np.ndarray:
        if path == unreadable:
            raise UserError("it is torn")
        return np.full((128, 64, 3), 90, np.uint8)

    return SimpleNamespace(
        name="run",
        subtitle="made up",
        display=Display(quiet=True),
        config=Config(evaluate=settings),
        embeddings=(query, gallery),
        ranked=ranked,
        summary=SimpleNamespace(metrics=metrics),
        model=model or FakeModel(),
        image=image,
        missing={},
    )


def page_of(run: Any, folder: Path) -> tuple[str, dict[str, Any]]:
    section: Section[Any] = Section("rank_lists", "What it finds", rank_lists.build)
    write_page(run, [section], folder / "page.html")
    values = json.loads((folder / "page.json").read_text())["rank_lists"]
    return (folder / "page.html").read_text(), values


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what doesn't look at them: their encoding takes most of the time."""
    monkeypatch.setattr(rank_lists, "cam_layer", lambda cam: "data:,")
    monkeypatch.setattr(rank_lists, "thumbnail", lambda run, path: "data:,")


def test_what_the_page_shows(tmp_path: Path) -> None:
    run = made_up_run(EvaluateConfig())
    page, values = page_of(run, tmp_path)
    results = [result for query in values["queries"] for result in query["results"]]
    assert [query["group"] for query in values["queries"]].count("worst") == 4
    assert {result["mark"] for result in results} == set(rank_lists.SIGNS)
    assert values["notes"] == []
    assert values["cameras"] == ["1", "door", "3"]
    assert page.count("<option>") == 3
    assert page.count("Ada &lt;4&gt;") > 1
    assert "Ada <4>" not in page
    assert page.count('<button class="tile"') == page.count("<template>") == len(results)
    assert page.count('class="same-camera" data-camera') == sum(
        result["mark"] == "same camera" for result in results
    )
    best = values["queries"][0]
    assert best["average_precision"] == run.summary.metrics.average_precision.max()
    assert f"AP {100 * best['average_precision']:.1f} %" in page
    assert "first match: rank 14,172<" in page
    # Of a pair: two stages and their sum, of query and result.
    template = page.partition("<template>")[2].partition("</template>")[0]
    assert re.findall('alt="(CAM[^"]*)"', template) == [
        f"CAM of the {image}, {stage}"
        for image in ("query", "result")
        for stage in ("Stage I", "Stage II", "All")
    ]
    layers = re.findall('src="(data:image/webp[^"]*)"', template)
    assert len(set(layers)) == 5  # stage II's are the same


def test_a_picture_that_is_missing_is_not_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_lists, "cam_layer", lambda cam: "data:,")
    best = rank_lists.build(made_up_run(EvaluateConfig())).values["queries"][0]
    page, values = page_of(made_up_run(EvaluateConfig(), best["path"]), tmp_path)
    count = len(best["results"])
    assert values["notes"] == [f"{count} pairs are not explained, whose pictures can't be read."]
    assert page.count('<span class="tile"') == count
    assert "it is torn" in page


@pytest.mark.usefixtures("no_pictures")
def test_a_large_network_explains_the_first_results_alone_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_up_run(EvaluateConfig(), model=FakeModel(32_000_000))
    monkeypatch.setattr(rank_lists, "CPU_BUDGET", 30 * 32e6 * 128 * 64)
    page, values = page_of(run, tmp_path)
    assert page.count("<template>") == 2 * len(values["queries"])
    assert "the first 2 results can be opened" in values["notes"][0]
    monkeypatch.setattr(rank_lists, "on_cpu", lambda: False)
    page, values = page_of(run, tmp_path)
    assert page.count("<template>") > 100
    assert values["notes"] == []


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("settings", "note"),
    [
        (EvaluateConfig(rerank=True, k1=5, k2=2), "re-ranks"),
        (EvaluateConfig(faiss_index="Flat"), "an index"),
        (EvaluateConfig(single_shot=2), "single-shot"),
        (EvaluateConfig(multi_query="average"), "pools several images"),
        (EvaluateConfig(distance="cosine", dba_k=2), "dba_k"),
        (EvaluateConfig(cameras=False), None),
        (EvaluateConfig(distance="cosine"), None),
    ],
)
def test_other_protocols(settings: EvaluateConfig, note: str | None) -> None:
    values, media = rank_lists.build(made_up_run(settings))
    assert ("another camera" in media["legend"]["right"][1]) == settings.cameras
    assert len(values["notes"]) == (note is not None)
    if note is not None:
        assert note in values["notes"][0]
    results = [result for query in values["queries"] for result in query["results"]]
    assert (values["cameras"] == []) == (not settings.cameras)
    assert any(result["mark"] == "junk" for result in results) == (settings.dba_k == 0)
    if settings.distance == "cosine":
        assert all(result["distance"] <= 2 for result in results)


def test_images_without_names_are_one_line() -> None:
    run = made_up_run(EvaluateConfig())
    query, gallery = run.ranked
    run.ranked = replace(query, paths=None), gallery
    with pytest.raises(UserError, match="don't say which images"):
        rank_lists.build(run)
