"""The entry points themselves: verbs, help, processes of their own."""

import contextlib
import importlib
import re
import runpy
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.cli.main import VERBS
from pmm_jax.config import Config, DataConfig
from tests.cli.entry import Program, start, written


def test_an_unknown_verb(refused: Program) -> None:
    assert "no verb nosuchverb; there are train, eval" in refused("pmm_jax", "nosuchverb")


def test_the_verbs_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    for words in ([], ["--help"], ["-h"]):
        monkeypatch.setattr(sys, "argv", ["pmm", *words])
        start(project, "pmm_jax")
        said = capsys.readouterr()
        assert said.err == ""
        assert said.out.startswith("usage: pmm VERB")
        for verb in VERBS:
            assert f"\n  {verb} " in said.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_file_and_help(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    project: Path,
    verb: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["pmm", verb, "--help"])
    with contextlib.suppress(SystemExit):
        start(project, "pmm_jax")
    said = capsys.readouterr()
    assert said.err == ""
    assert f"usage: pmm {verb}" in said.out
    command = getattr(importlib.import_module(f"pmm_jax.cli.{verb}"), f"{verb}_command")
    assert command.__doc__


def test_a_missing_extra_is_named(refused: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "faiss", None)
    line = refused("pmm_jax", "compare", "--config", "demo")
    assert line == 'error: compare needs an extra: pip install "pmm_jax[torch]"'
    np.savez("f.npz", features=np.eye(4, dtype=np.float32), ids=np.array([1, 1, 2, 2]))
    line = refused("eval.py", "--embeddings", "f.npz", "--faiss-index", "Flat")
    assert 'pip install "pmm_jax[faiss]"' in line


@pytest.mark.parametrize("name", ["train.py", "eval.py", "pmm_jax"])
def test_help_is_no_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    project: Path,
    name: str,
) -> None:
    verb = ["prepare"] if name == "pmm_jax" else []
    monkeypatch.setattr(sys, "argv", [name, *verb, "--help"])
    with pytest.raises(SystemExit) as end:
        start(project, name)
    assert not end.value.code
    said = capsys.readouterr()
    assert said.err == ""
    for group, fields in asdict(Config()).items():
        for field in fields:
            assert f"--{group}.{field}".replace("_", "-") in said.out


def run_program(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "module",
    ["train", "eval", "pmm_jax.__main__", "pmm_jax.ablation.one", "benchmarks.step_worker"]
    + [f"pmm_jax.cli.{verb}" for verb in VERBS],
)
def test_jax_is_imported_after_the_process_is_made_ready(project: Path, module: str) -> None:
    # The heap's settings and the folder of compiled programs reach no jax that is there already.
    script = f"import sys, {module}; print('jax' in sys.modules)"
    assert run_program(project, "-c", script).stdout.strip() == "False"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "pmm_jax", "nosuchverb"],
        ["train.py", "--config", "configs/demo.py", "--data.root", "no/such/folder"],
    ],
)
def test_as_a_process_of_its_own(project: Path, tmp_path: Path, arguments: list[str]) -> None:
    if arguments[0] == "train.py":
        arguments = [*arguments, "--workdir", str(tmp_path), "--data.cache-dir", str(tmp_path)]
    done = run_program(project, *arguments)
    assert done.returncode == 2
    assert re.fullmatch(r"error: .+\n", done.stderr)
    assert done.stdout == ""


def test_the_config_file_written_here_says_the_same(tiny: Config) -> None:
    found = runpy.run_path(written(tiny))["config"]
    assert found == tiny
    assert isinstance(found.data, DataConfig)


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_help_where_nobody_can_read_it(project: Path, closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' train.py --help {closed}"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
