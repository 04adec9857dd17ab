"""The first signal is noted, and saves the run; the second one ends the process."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pmm_jax.config import Config
from pmm_jax.runtime.signals import SIGNALS
from pmm_jax.training.interrupt import stop_on_signal
from pmm_jax.workdir.checkpoint import Checkpoints
from tests.training.conftest import lines
from tests.training.programs import command


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signal() as stopping:
        assert not stopping()
        os.kill(os.getpid(), number)
        assert stopping()
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before


def test_one_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal() as stopping:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopping()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_than_the_main_one_hears_none() -> None:
    before = signal.getsignal(signal.SIGINT)

    def inside() -> bool:
        with stop_on_signal() as stopping:
            return signal.getsignal(signal.SIGINT) == before and not stopping()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result()


def test_a_handler_that_is_not_pythons_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: None)

    def refuse(number: int, handler: object) -> None:
        raise AssertionError(f"signal {number} was taken from its owner")

    monkeypatch.setattr(signal, "signal", refuse)
    with stop_on_signal() as stopping:
        assert not stopping()


def test_the_second_one_ends_the_process_in_one_line(project: Path) -> None:
    code = (
        "import os, signal\n"
        "from pmm_jax.training.interrupt import stop_on_signal\n"
        "with stop_on_signal():\n"
        "    os.kill(os.getpid(), signal.SIGINT); print('once', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('twice', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "once\n")
    assert done.stderr.startswith("interrupted; ")
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def stopped(
    tiny: Config, tmp_path_factory: pytest.TempPathFactory, project: Path
) -> tuple[int, str, Path]:
    """Exit code, standard error and workdir of train.py, sent SIGTERM while it trains."""
    config = replace(tiny, train=replace(tiny.train, epochs=100_000, evaluate_every=0))
    folder = tmp_path_factory.mktemp("stopped")
    workdir = folder / "run"
    words = [*command("train.py", config, folder), "--workdir", str(workdir)]
    with subprocess.Popen(
        words, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (workdir / "metrics.jsonl").is_file() and lines(workdir)[1:]:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    return process.returncode, error, workdir


def test_train_py_saves_on_sigterm(stopped: tuple[int, str, Path]) -> None:
    code, _, workdir = stopped
    assert code not in (0, -signal.SIGTERM)  # it ended by itself, and says that it is not done
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest == lines(workdir)[-1]["step"] >= 2


def test_train_py_says_in_one_line_that_it_was_stopped(stopped: tuple[int, str, Path]) -> None:
    _, error, workdir = stopped
    assert error.count("\n") == 1
    assert f"after step {lines(workdir)[-1]['step']} of" in error
