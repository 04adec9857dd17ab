"""Which steps --profile records."""

from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from pmm_jax.training.profiling import WARM_UP, ProfilerHook


def result_of(steps: range) -> SimpleNamespace:
    """As far as the hook looks at it."""
    return SimpleNamespace(steps=steps, state=())


def recorded(steps: range, count: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps between the start and the end of the trace, in a run of those steps."""
    running: list[bool] = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: running.append(True))
    monkeypatch.setattr(jax.profiler, "stop_trace", running.clear)
    told: list[str] = []
    hook, found = ProfilerHook(Path("trace"), steps, count, told.append), []
    for number in steps:
        hook.before(range(number, number + 1))
        found += [number] * bool(running)
        hook(result_of(range(number, number + 1)))
    assert not running
    assert told == ["profiler trace written under trace"]
    return found


def test_a_warm_run_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded(range(5, 50), 3, monkeypatch) == [5 + WARM_UP + i for i in range(3)]


def test_of_a_short_run_the_last_steps_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded(range(1, WARM_UP + 2), 5, monkeypatch) == [7, 8, 9, 10, 11]
    assert recorded(range(1, 4), 5, monkeypatch) == [1, 2, 3]


def test_nothing_is_recorded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.profiler, "start_trace", pytest.fail)
    hook = ProfilerHook(Path("trace"), range(1, 50), 0, pytest.fail)
    for number in range(1, 50):
        hook.before(range(number, number + 1))
        hook(result_of(range(number, number + 1)))


def test_steps_that_go_out_in_one_call_are_recorded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    hook = ProfilerHook(Path("trace"), range(1, 41), 5, calls.append)  # 11 to 15
    for first in range(1, 41, 10):
        numbers = range(first, first + 10)
        hook.before(numbers)
        calls.append(str(first))
        hook(result_of(numbers))
    assert calls == ["1", "start", "11", "stop", "profiler trace written under trace", "21", "31"]
