"""A run goes on where nobody can read what it says."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pmm_jax.display import Display

TALK = """
import sys
from pmm_jax.display import Display
display = Display()
with display.bar("training", 500) as bar:
    for step in range(500):
        display._last_line = -100.0
        bar.advance(1, f"step {step} " + 200 * "x")
display.info("done")
print("still here", file=sys.stderr)
"""


@pytest.fixture
def talk(tmp_path: Path) -> str:
    (tmp_path / "talk.py").write_text(TALK)
    return f"'{sys.executable}' '{tmp_path / 'talk.py'}'"


def shell(command: str, project: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(project)}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )


def test_a_reader_that_dies_does_not_end_it(talk: str, project: Path) -> None:
    done = shell(f"{talk} | head -1; echo ${{PIPESTATUS[0]}}", project)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == "still here\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_behind_the_output_does_not_end_it(talk: str, project: Path) -> None:
    done = shell(f"{talk} > /dev/full", project)
    assert (done.returncode, done.stderr) == (0, "still here\n")


def test_a_closed_output_is_no_output() -> None:
    display = Display()
    stream = io.StringIO()
    display.console.file = stream
    display.info("heard")
    assert stream.getvalue() == "heard\n"
    stream.close()
    display.info("unheard")
    display.info("unheard again")
