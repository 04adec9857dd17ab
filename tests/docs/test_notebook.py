"""The notebook is committed as text alone, and runs from nothing."""

import re
from typing import Any

import pytest

from tests.docs.pages import ROOT

REASON = "is not installed (requirements-dev.txt)"
nbformat = pytest.importorskip("nbformat", reason=f"nbformat {REASON}")
nbclient = pytest.importorskip("nbclient", reason=f"nbclient {REASON}")

PATH = ROOT / "docs/notebooks/stages.ipynb"
LINK = re.compile(r"\]\((?!https://)([^)\s]+)\)")


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(PATH, as_version=nbformat.NO_CONVERT)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_a_valid_notebook_without_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_its_cells_compile(notebook: Any) -> None:
    """As plain Python: a magic or a shell command is of one front end, and would be refused."""
    assert len(code_cells(notebook)) > 5
    for cell in code_cells(notebook):
        compile(cell.source, f"{PATH.name}:{cell.id}", "exec")


def test_it_names_no_path_of_a_machine() -> None:
    assert not re.search(r"/(home|root|work|tmp|var|Users)/", PATH.read_text(encoding="utf-8"))


def test_its_links_lead_somewhere(notebook: Any) -> None:
    links = [link for cell in notebook.cells for link in LINK.findall(cell.source)]
    assert links
    for link in links:
        assert (PATH.parent / link).exists(), link


@pytest.mark.slow  # about a minute: it trains
def test_it_runs_and_shows_what_its_text_says(
    notebook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(PATH.parent)}}
    ).execute()
    pictures, printed = 0, ""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text
            pictures += "image/png" in output.get("data", {})
            printed += output.get("text", "")
    assert pictures == 6
    value = {name: [float(x) for x in line.split()] for name, line in rows(printed)}
    assert value["top 3 blocks"] < value["3 random blocks"] < value["nothing replaced"]
    (chance,) = value["by chance"]
    one_two, two_three, one_three = value["mixtures"]
    assert max(one_two, two_three) < 1.25 * chance < one_three
    assert value["images"][0] > 1.5 * one_two


def rows(printed: str) -> list[tuple[str, str]]:
    """Name and numbers of each line of the tables."""
    return re.findall(r"^(\w[\w ]*?)((?: +\d+\.\d+)+)$", printed, re.MULTILINE)
