"""A jax profiler trace of a few steps, for xprof or TensorBoard."""

from pathlib import Path

import jax

WARM_UP = 10
"""Steps before the trace, so that compilation stays out of it."""


class Tracer:
    """Records `count` steps of a run once it is warm, or its last ones where it is too short."""

    def __init__(self, folder: Path, steps: range, count: int, wanted: bool) -> None:
        """`steps` are the numbers of those still to come; nothing is recorded unless `wanted`."""
        self._folder = folder
        chosen = steps[WARM_UP : WARM_UP + count]
        if len(chosen) < count:
            chosen = steps[-count:]
        self._steps = chosen if wanted else range(0)

    def before(self, numbers: range) -> None:
        """Call ahead of the steps of one call."""
        if self._steps and self._steps[0] in numbers:
            jax.profiler.start_trace(str(self._folder))

    def after(self, numbers: range, result: object) -> bool:
        """Call with what they returned; True once the trace has been written."""
        if not self._steps or self._steps[-1] not in numbers:
            return False
        jax.block_until_ready(result)
        jax.profiler.stop_trace()
        return True
