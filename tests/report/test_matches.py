"""The page of a search."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.display import Display
from pmm_jax.report.explanation import matches
from pmm_jax.report.explanation.matches import Matches
from tests.report.browsing import check_keyboard, check_readable, open_page
from tests.report.test_escaping import EVIL, TAG, checked_page
from tests.report.test_explanation import Answers

QUIET = Display(quiet=True)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two queries: one with three results, of which two have pictures; one without any."""
    monkeypatch.setattr(matches, "explained_results", lambda *_: 2)
    rng = np.random.default_rng(0)
    for name in ("0.png", "1.png"):
        Image.fromarray(rng.integers(0, 256, (60, 30, 3), np.uint8)).save(tmp_path / name)
    known: dict[str, Any] = {"identity": TAG, "camera": None, "decision": "same"}
    paths = [str(tmp_path / "0.png"), EVIL, str(tmp_path / "1.png")]
    results = [
        {"rank": rank, "path": path, "distance": rank / 3, **known}
        for rank, path in enumerate(paths, 1)
    ]
    answers: list[dict[str, Any]] = [
        {"query": TAG, "results": results},
        {"query": "empty.png", "results": []},
    ]
    images = [rng.integers(0, 256, (50, 30, 3), np.uint8)] * 2
    out = tmp_path / "page.html"
    Matches(f"In {EVIL}", answers, images, cast(Model, Answers()), QUIET).write(out)
    return out


def test_a_page_of_results(page: Path) -> None:
    found = checked_page(page, scripts=1)
    assert found.text.count("No image of the gallery meets the condition") == 1
    assert [tag for tag, _ in found.tags].count("details") == 1  # of the first two, one is missing
    layers = [a["alt"] for tag, a in found.tags if tag == "img" and "CAM" in str(a.get("alt"))]
    assert layers == [
        f"CAM of the {side}, {title}"
        for side in ("query", "result")
        for title in ("Stage I", "Stage II", "Stage III", "All")
    ]
    assert [a["alt"] for tag, a in found.tags if tag == "img"].count("Missing picture") == 1
    assert EVIL in found.text
    said = json.loads(page.with_suffix(".json").read_text())
    assert [len(answer["results"]) for answer in said["matches"]["queries"]] == [3, 0]
    assert list(said["missing_pictures"]) == [EVIL]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_of_a_search_is_readable(
    browser: Any, page: Path, width: int, scheme: str
) -> None:
    shown = open_page(browser, page, width, scheme)
    check_readable(shown)
    check_keyboard(shown)
    shown.focus("summary")
    shown.keyboard.press("Enter")
    assert shown.locator("details[open] img").count() == 2 * 4 * 2
    check_readable(shown)
