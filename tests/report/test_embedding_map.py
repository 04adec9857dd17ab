import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from pmm_jax.config import Config
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.report.page import write_page
from pmm_jax.report.pictures import sprite_sheet
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Section
from pmm_jax.report.sections import embedding_map
from tests.report.browsing import open_page

NAMES = {1: "</script><b>", 2: "a name that is long", 3: "3"}


def run_of(image: Any) -> RunData:
    rng = np.random.default_rng(0)
    ids = np.repeat([1, 2, 3], 4)
    sets = [
        Embeddings(
            (np.eye(3)[ids - 1] + 0.1 * rng.standard_normal((12, 3))).astype(np.float32),
            ids,
            np.full(12, camera),
            np.array([f"{name}/{i}.jpg" for i in range(12)]),
            NAMES,
        )
        for camera, name in ((-1, "query"), (2, "gallery"))
    ]
    run = SimpleNamespace(
        name="run",
        subtitle="",
        display=Display(quiet=True),
        missing={},
        ranked=tuple(sets),
        config=Config(),
        image=image,
    )
    return cast(RunData, run)


def of_its_row(path: str) -> np.ndarray:
    """An image whose brightness tells its row, of a shape of its own."""
    row = int(Path(path).stem)
    return np.full((64 + row, 32, 3), 20 * row, np.uint8)


def test_the_page_holds_every_point_and_crop(tmp_path: Path) -> None:
    run, path = run_of(of_its_row), tmp_path / "page.html"
    write_page(run, [Section("embedding_map", "Map", embedding_map.build)], path)
    page, values = path.read_text(), json.loads((tmp_path / "page.json").read_text())
    points = values["embedding_map"]["points"]
    first = [f"{name}/{i}.jpg" for name in ("query", "gallery") for i in range(4)]
    assert [point["path"] for point in points[:8]] == first
    assert {(p["set"], p["camera"]) for p in points} == {("query", ""), ("gallery", "2")}
    assert [p["identity"] for p in points] == [0] * 8 + [1] * 8 + [2] * 8
    labels = [(one["label"], one["queries"]) for one in values["embedding_map"]["identities"]]
    assert labels == [("</scrip…", 4), ("a name …", 4), ("3", 4)]
    assert page.count('<path class="query"') == page.count('<path class="gallery"') == 12
    assert page.count("</script>") == 2  # the points, and the page's own
    data = page.partition('id="map-points">')[2].partition("</script>")[0]
    assert json.loads(data)["points"] == points
    assert page.count("data:image/webp") == 1
    assert not run.missing


def test_crops_lie_in_the_order_of_their_points() -> None:
    run = run_of(of_its_row)
    sheet = sprite_sheet(run, [f"query/{i}.jpg" for i in range(7)], 64, columns=3)
    assert sheet is not None
    assert sheet.cell == (32, 64)
    assert sheet.image.size == (96, 192)
    middles = np.asarray(sheet.image)[32::64, 16::32, 0].ravel()
    assert middles[:7].tolist() == [20 * i for i in range(7)]


def test_a_missing_crop_is_noted_and_leaves_its_cell() -> None:
    def image(path: str) -> np.ndarray:
        if path == "query/1.jpg":
            raise UserError("it is gone")
        return of_its_row(path)

    run = run_of(image)
    sheet = sprite_sheet(run, [f"query/{i}.jpg" for i in range(3)], 64, columns=3)
    assert sheet is not None
    assert np.asarray(sheet.image)[32, 16::32, 0].tolist() == [0, 153, 40]
    assert run.missing == {"query/1.jpg": "it is gone"}


def test_without_any_crop_the_map_is_shown(tmp_path: Path) -> None:
    def image(path: str) -> np.ndarray:
        raise UserError("the data set moved")

    run, path = run_of(image), tmp_path / "page.html"
    write_page(run, [Section("embedding_map", "Map", embedding_map.build)], path)
    assert "There are no crops" in path.read_text()
    assert 'class="crop"' not in path.read_text()
    assert list(run.missing.values()) == ["the data set moved"]


def test_a_wide_image_fits_its_cell() -> None:
    run = run_of(lambda path: np.zeros((10, 20_000 if path == "b" else 200, 3), np.uint8))
    sheet = sprite_sheet(run, ["a", "b"], 64)
    assert sheet is not None
    assert sheet.cell == (64, 3)
    assert isinstance(sheet.image, Image.Image)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_a_label_lies_on_a_point_of_its_identity(shift: float) -> None:
    run = run_of(of_its_row)
    sample = embedding_map.sample_for_map(*run.ranked)
    places = np.random.default_rng(1).random((24, 2))
    places[:4, 0] += shift  # two groups, and nothing between them
    values = embedding_map.describe(sample, places)
    for number, identity in enumerate(values["identities"]):
        own = [(p["x"], p["y"]) for p in values["points"] if p["identity"] == number]
        assert (identity["x"], identity["y"]) in own


def test_keys_and_pointer_walk_the_points(browser: Any, tmp_path: Path) -> None:
    run, path = run_of(of_its_row), tmp_path / "page.html"
    write_page(run, [Section("embedding_map", "Map", embedding_map.build)], path)
    page = open_page(browser, path, 1280)
    said = page.locator("#embedding_map output")
    page.focus("#map-identity")
    page.keyboard.press("ArrowDown")
    assert said.inner_text() == (
        "Identity a name that is long, image 1 of 8: unknown camera, query. query/4.jpg"
    )
    page.keyboard.press("Tab")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert "image 5 of 8: camera 2, gallery. gallery/4.jpg" in said.inner_text()
    assert page.get_attribute("#map-image", "aria-valuetext") == "5 of 8"
    # 40 columns of cells, shown at twice their size: the 13th point's.
    assert page.locator(".crop").evaluate("one => one.style.backgroundPositionX") == (
        f"{-2 * 12 * int(page.get_attribute('.crop', 'data-width'))}px"
    )
    page.locator("#embedding_map text").nth(2).scroll_into_view_if_needed()
    box = page.locator("#embedding_map text").nth(2).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert said.inner_text().startswith("Identity 3, image ")
    assert page.said == []
