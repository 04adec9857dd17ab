"""The first signal is noted, the second one ends the process."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pmm_jax.runtime.signals import SIGNALS
from pmm_jax.training.interrupt import stop_on_signal


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
