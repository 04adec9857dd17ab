"""A run compiles its step once."""

from pathlib import Path
from typing import Any

import jax
import pytest

from pmm_jax.config import Config
from pmm_jax.training import compile_step, hooks, loop

STEPS = 6


def test_nothing_is_compiled_after_the_first_step_but_the_first_evaluation(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def compiled(event: str, *_: Any, **__: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            events.append("compile")

    plain, plain_evaluate = compile_step.compile_step, hooks.evaluate

    def make(*arguments: Any) -> Any:
        step = plain(*arguments)

        def run(*inputs: Any) -> Any:
            events.append("step")
            return step(*inputs)

        return run

    def tested(*arguments: Any) -> Any:
        events.append("evaluate")
        result = plain_evaluate(*arguments)
        events.append("evaluated")
        return result

    monkeypatch.setattr(compile_step, "compile_step", make)
    monkeypatch.setattr(hooks, "evaluate", tested)
    jax.monitoring.register_event_duration_secs_listener(compiled)
    try:
        loop.train(tiny, tmp_path)
    finally:
        jax.monitoring.unregister_event_duration_listener(compiled)
    second = events.index("step", events.index("step") + 1)
    first_test = slice(events.index("evaluate"), events.index("evaluated"))
    assert "compile" in events[:second]
    assert "compile" in events[first_test]
    assert events.count("step") == STEPS
    assert "compile" not in events[second : first_test.start]
    assert "compile" not in events[first_test.stop :]
