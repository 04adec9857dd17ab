"""Output that nobody reads, and errors whose words come from strangers."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.entry import Program, config_file

LOUD = """
from pmm_jax.cli.program import main
from pmm_jax.errors import UserError
def program(arguments):
    for number in range(int(arguments[0])):
        print("line", number)
    if arguments[1:]:
        raise {"exit": SystemExit(1), "error": UserError("wrong")}[arguments[1]]
main(program)
"""


def run_shell(project: Path, words: str, redirection: str) -> subprocess.CompletedProcess[str]:
    Path("loud.py").write_text(LOUD)
    command = f"{sys.executable} loud.py {words} {redirection}; echo $? >code"
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env={"PYTHONPATH": str(project)}
    )


@pytest.mark.parametrize(
    ("words", "redirection", "code", "error"),
    [
        ("100000", "| head -1", None, ""),
        ("3", ">&-", 0, ""),
        ("3 exit", ">&-", 1, ""),
        ("3", ">/dev/full", 2, "error: no room left on the disk"),
        ("3 error", ">/dev/full", 2, "error: wrong"),
        ("3 error", "2>&-", 2, ""),
        ("3 error", ">&- 2>&-", 2, ""),
        ("3 error", "2>/dev/full", 2, ""),
    ],
)
def test_output_that_can_not_be_written(
    project: Path, words: str, redirection: str, code: int | None, error: str
) -> None:
    done = run_shell(project, words, redirection)
    assert done.stderr.count("\n") == (1 if error else 0), done.stderr
    assert done.stderr.startswith(error)
    if code is not None:  # of the pipe it is that of its last command
        assert Path("code").read_text().strip() == str(code)


@pytest.mark.parametrize("words", ["100000", "3", "3 exit"])
def test_a_reader_that_is_gone(project: Path, words: str) -> None:
    Path("loud.py").write_text(LOUD)
    process = subprocess.Popen(
        [sys.executable, "loud.py", *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(project)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_a_name_forges_no_line(refused: Program) -> None:
    name = "x\nerror: all is well\x1b[2J"
    line = refused("train.py", "--config", name)
    assert r"x\nerror: all is well\x1b[2J" in line
    assert r"\x1b" in refused("train.py", "--config", config_file(), "--data.root", name)
    refused("train.py", "--config", config_file(), name)
