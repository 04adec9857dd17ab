"""Each test runs in an empty folder, where an entry point refuses in one line."""

import sys
from pathlib import Path

import pytest

from tests.cli.entry import Program, start


@pytest.fixture(autouse=True)
def inside_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(project)
    # A process of its own is for these; this one has many threads, and signals of pytest's.
    monkeypatch.setattr("pmm_jax.runtime.tune_malloc", lambda: False)
    monkeypatch.setattr("pmm_jax.runtime.interrupt_on_signals", lambda: None)
    monkeypatch.setattr("sys.unraisablehook", sys.unraisablehook)  # which main sets


@pytest.fixture
def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path
) -> Program:
    """Runs an entry point in this process; the one line with which it refuses."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as end:
            start(project, name)
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.endswith("\n")
        assert error.count("\n") == 1
        return error.strip()

    return run
