"""A jax profiler trace of a few steps, for xprof or TensorBoard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

WARM_UP = 10
"""Steps before the trace, so that compilation stays out of it."""


class ProfilerHook:
    """Records some steps of a run once it is warm, or its last ones where it is too short."""

    def __init__(self, folder: Path, steps: range, count: int, info: Callable[[str], None]) -> None:
        """Record nothing yet.

        Args:
            folder: where the trace goes.
            steps: numbers of those still to come.
            count: how many are recorded; 0 for none.
            info: called once the trace is written.
        """
        self._folder, self._info = folder, info
        chosen = steps[WARM_UP : WARM_UP + count]
        self._steps = chosen if len(chosen) == count else steps[-count:]

    def before(self, steps: range) -> None:
        """Start the trace if due; called before the compiled step."""
        if self._steps and self._steps[0] in steps:
            jax.profiler.start_trace(str(self._folder))

    def __call__(self, result: Any) -> None:
        """Stop the trace if due; called after the compiled step."""
        if self._steps and self._steps[-1] in result.steps:
            jax.block_until_ready(result.state)
            jax.profiler.stop_trace()
            self._info(f"profiler trace written under {self._folder}")
