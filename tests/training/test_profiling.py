"""Which steps --profile records."""

from pathlib import Path

import jax
import pytest

from pmm_jax.training.profiling import WARM_UP, Tracer


def recorded(steps: range, count: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps between the start and the end of the trace, in a run of those steps."""
    running: list[bool] = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: running.append(True))
    monkeypatch.setattr(jax.profiler, "stop_trace", running.clear)
    tracer, found, ends = Tracer(Path("trace"), steps, count, True), [], 0
    for number in steps:
        tracer.before(number)
        found += [number] * bool(running)
        ends += tracer.after(number, ())
    assert not running
    assert ends == 1
    return found


def test_a_warm_run_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded(range(5, 50), 3, monkeypatch) == [5 + WARM_UP + i for i in range(3)]


def test_of_a_short_run_the_last_steps_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded(range(1, WARM_UP + 2), 5, monkeypatch) == [7, 8, 9, 10, 11]
    assert recorded(range(1, 4), 5, monkeypatch) == [1, 2, 3]


def test_nothing_is_recorded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.profiler, "start_trace", pytest.fail)
    tracer = Tracer(Path("trace"), range(1, 50), 5, False)
    for number in range(1, 50):
        tracer.before(number)
        assert not tracer.after(number, ())
