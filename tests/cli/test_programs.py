"""The entry points themselves: verbs, help, processes of their own."""

import re
import runpy
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from pmm_jax.config import Config, DataConfig
from tests.cli.entry import Program, start, written


def test_an_unknown_verb(refused: Program) -> None:
    assert "no verb nosuchverb; there are ablate, compare" in refused("pmm_jax", "nosuchverb")


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
    "module", ["train", "eval", "pmm_jax.__main__", "pmm_jax.ablation.one", "benchmarks.peers"]
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
        arguments = [*arguments, "--workdir", str(tmp_path), "--data.prepared", str(tmp_path)]
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
