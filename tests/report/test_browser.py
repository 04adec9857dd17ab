"""The pages in a real browser: Debian's Chromium."""

from pathlib import Path
from typing import Any

import pytest

from pmm_jax.cli.report import make_comparison
from pmm_jax.display import Display
from pmm_jax.report import sections
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from tests.report.browsing import check_accessible, check_keyboard, check_readable, open_page

QUIET = Display(quiet=True)
VIEWS = pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])


@pytest.fixture(scope="module")
def report(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "report.html"
    write_page(RunData(finished, QUIET), sections.SECTIONS, page)
    return page


@VIEWS
def test_a_report_is_readable(browser: Any, report: Path, width: int, scheme: str) -> None:
    page = open_page(browser, report, width, scheme)
    assert page.locator("main > section").count() == len(sections.SECTIONS)
    assert page.locator(".missing").all_inner_texts() == []
    check_readable(page)
    assert page.said == []


def test_the_keyboard_reaches_everything(browser: Any, report: Path) -> None:
    page = open_page(browser, report, 1280)
    check_keyboard(page)
    assert page.said == []


def test_no_script_but_the_page_s_own_runs(browser: Any, report: Path) -> None:
    page = open_page(browser, report, 1280)
    page.evaluate(
        """() => {
            document.body.insertAdjacentHTML("beforeend", "<p onclick='document.title = 1'>");
            document.body.lastElementChild.click();
        }"""
    )
    assert page.title().endswith("report")


def test_a_result_opens_the_explanation_of_its_pair(browser: Any, report: Path) -> None:
    page = open_page(browser, report, 400)
    page.focus("#rank_lists button.tile")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    assert "Query: identity" in dialog.inner_text()
    loaded = "images => images.every(image => image.naturalWidth > 0)"
    page.wait_for_function(f"({loaded})([...document.querySelectorAll('dialog img')])")
    # The image and its CAM: both sides, three stages and their sum.
    assert dialog.locator("img").count() == 2 * 4 * 2
    check_accessible(page)
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.className") == "tile"
    assert page.said == []


def test_results_are_filtered_by_camera(browser: Any, report: Path) -> None:
    page = open_page(browser, report, 1280)
    shown = page.locator("#rank_lists ol > li:visible")
    everything = shown.count()
    page.select_option("#rank-camera", "2")
    some = shown.count()
    assert 0 < some < everything
    assert {row.get_attribute("data-camera") for row in shown.all()} == {"2"}
    assert page.locator("#rank-status").inner_text() == f"{some} of {everything} results shown"


def test_the_map_tells_its_points_to_the_keyboard(browser: Any, report: Path) -> None:
    page = open_page(browser, report, 1280)
    page.focus("#map-identity")
    page.keyboard.press("ArrowDown")
    first = page.locator("output").inner_text()
    assert first.startswith("Identity ")
    page.focus("#map-image")
    page.keyboard.press("ArrowRight")
    assert ", image 2 of" in page.locator("output").inner_text()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the demo's run, trained in full, and one of BDB beside it."""
    from pmm_jax.cli.main import run_verb

    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_verb(["demo"])
        words = ["--config", "demo", "--workdir", "runs/bdb", "--method.name", "bdb"]
        run_verb(["train", *words])
        make_comparison([folder / "runs/demo", folder / "runs/bdb"], None, QUIET)
    return folder / "runs"


@pytest.mark.slow
@VIEWS
@pytest.mark.parametrize("name", ["demo/report.html", "bdb/report.html", "comparison.html"])
def test_the_demos_pages(browser: Any, demo: Path, name: str, width: int, scheme: str) -> None:
    page = open_page(browser, demo / name, width, scheme)
    assert page.locator(".missing").all_inner_texts() == []
    check_readable(page)
    check_keyboard(page)
    assert page.said == []
