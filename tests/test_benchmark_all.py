"""docs/performance.md is what the stored outputs give, and a section can be measured alone."""

from pathlib import Path

import pytest

from benchmarks import all as benchmarks_all
from benchmarks.all import Measured, Section

OLD = Measured("python -m old", "2026-01-01", "1234567", "a machine", ["one  1", "", "two  2"])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store and a page of two sections, whose commands print a line or fail."""
    known = {
        "first": Section("The first", ("platform",), "A note.", (("ANY", "1"),)),
        "second": Section("The second", ("json.tool", "/nowhere"), "Another."),
    }
    monkeypatch.setattr(benchmarks_all, "sections", lambda *_: known)
    monkeypatch.setattr(benchmarks_all, "STORE", tmp_path / "store.json")
    monkeypatch.setattr(benchmarks_all, "PAGE", tmp_path / "page.md")
    benchmarks_all.store({"second": OLD})
    return tmp_path / "store.json"


def test_the_page_is_what_is_stored() -> None:
    assert set(benchmarks_all.read_store()) == set(benchmarks_all.sections())
    assert benchmarks_all.PAGE.read_text(encoding="utf-8") == benchmarks_all.page(), (
        "run python -m benchmarks.all --page"
    )


def test_a_section_alone_is_measured_and_the_others_stay(store: Path) -> None:
    benchmarks_all.main(["first"])
    stored = benchmarks_all.read_store()
    assert stored["second"] == OLD
    assert stored["first"].command == "ANY=1 python -m platform"
    assert len(stored["first"].output) == 1
    page = benchmarks_all.PAGE.read_text(encoding="utf-8")
    assert page.index("## The first") < page.index("## The second")
    assert "2026-01-01 at 1234567, on a machine.\n\nAnother.\n\n```text\none  1\n\ntwo" in page


def test_a_section_that_fails_changes_nothing(store: Path) -> None:
    before = store.read_bytes()
    with pytest.raises(SystemExit, match="The second ended with code"):
        benchmarks_all.main(["second"])
    assert store.read_bytes() == before
    assert not benchmarks_all.PAGE.exists()


def test_an_unknown_section_is_refused(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        benchmarks_all.main(["third"])
    assert "third: no such section; there are first, second" in capsys.readouterr().err


def test_folders_of_this_machine_are_not_shown() -> None:
    section = benchmarks_all.sections("/my/data", "/my/fastreid")["data_loading"]
    assert "/my/data" in section.words
    known = Section("", ("platform", "/my/data"))
    assert benchmarks_all.measure(known, ("/my/data", None)).command == "python -m platform DIR"
