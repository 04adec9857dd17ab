"""No child outlives its parent, whatever ends that."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pmm_jax.runtime.children import run_to_end

CHILD = """
import os, signal, sys, time
from pathlib import Path
def save(*_):
    Path("saved").write_text(Path("saved").read_text() + "x" if Path("saved").exists() else "x")
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
Path("partial").write_text(str(os.getpid()))
Path("partial").rename("child")
time.sleep(60)
"""

PARENT = """
import sys
from pmm_jax.runtime.children import run_to_end
try:
    run_to_end([sys.executable, "child.py"])
except KeyboardInterrupt:
    sys.exit(7)
"""

TIED = """
import subprocess, sys
from pmm_jax.runtime.children import tied
subprocess.run(tied([sys.executable, "child.py"]))
"""


def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def is_gone(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def parent(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[subprocess.Popen, int]]:
    monkeypatch.chdir(tmp_path)
    Path("child.py").write_text(CHILD)

    def start(script: str) -> tuple[subprocess.Popen, int]:
        process = subprocess.Popen(
            [sys.executable, "-c", script], env={"PYTHONPATH": str(project)}, process_group=0
        )
        assert until(Path("child").exists)
        return process, int(Path("child").read_text())

    return start


Start = Callable[[str], tuple[subprocess.Popen, int]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_is_passed_on_once_and_waited_for(parent: Start, number: int) -> None:
    process, child = parent(PARENT)
    os.killpg(process.pid, number)  # as a terminal does
    assert process.wait(10) == 7
    assert is_gone(child)
    assert Path("saved").read_text() == "x"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's own signal")
@pytest.mark.parametrize("script", [PARENT, TIED])
def test_a_killed_parent_takes_its_child_along(parent: Start, script: str) -> None:
    process, child = parent(script)
    process.kill()
    process.wait()
    assert until(lambda: is_gone(child))
    assert not Path("saved").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's own signal")
def test_a_child_whose_parent_is_gone_already_does_nothing(parent: Start, project: Path) -> None:
    script = str(project / "pmm_jax" / "runtime" / "children.py")
    done = subprocess.run([sys.executable, "-I", script, "1", sys.executable, "child.py"])
    assert done.returncode == 1
    assert not Path("child").exists()


def test_the_exit_code_comes_back_and_handlers_too() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    assert run_to_end([sys.executable, "-c", "raise SystemExit(5)"]) == 5
    assert [signal.getsignal(number) for number in numbers] == before
