"""A jax profiler trace of a few steps, for xprof or TensorBoard."""

from pathlib import Path

import jax

WARM_UP = 10
"""Steps before the trace, so that compilation stays out of it."""


class Tracer:
    """Records steps first + WARM_UP to first + WARM_UP + count - 1 of a run; or nothing."""

    def __init__(self, folder: Path, first: int, count: int, wanted: bool) -> None:
        self._folder = folder
        self._begin = first + WARM_UP if wanted else -1
        self._end = self._begin + count - 1

    def before(self, number: int) -> None:
        """Call ahead of a step."""
        if number == self._begin:
            jax.profiler.start_trace(str(self._folder))

    def after(self, number: int, result: object) -> bool:
        """Call with what the step returned; True once the trace has been written."""
        if self._begin < 0 or number != self._end:
            return False
        jax.block_until_ready(result)
        jax.profiler.stop_trace()
        return True
