"""The pages in a real browser: Debian's Chromium."""

from pathlib import Path
from typing import Any

import pytest

from pmm_jax.display import Display
from pmm_jax.report import sections
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from tests.report.browsing import check_keyboard, check_readable, open_page


@pytest.fixture(scope="module")
def report(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "report.html"
    write_page(RunData(finished, Display(quiet=True)), sections.SECTIONS, page)
    return page


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_a_report_is_readable(browser: Any, report: Path, width: int, scheme: str) -> None:
    page = open_page(browser, report, width, scheme)
    check_readable(page)
    assert page.said == []


def test_the_keyboard_reaches_everything(browser: Any, report: Path) -> None:
    page = open_page(browser, report, 1280)
    check_keyboard(page)
    assert page.said == []
