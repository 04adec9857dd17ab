"""Process set-up, and what the process runs on.

`set_up_process` and `set_up_training` are the command line's: they change the process for good. A
library call makes neither, and leaves every global of its process as it was.
"""

import os
import sys
from typing import TextIO

from pmm_jax.runtime.compile_cache import enable_compile_cache
from pmm_jax.runtime.heap import trim_heap, trim_settling_heap, tune_malloc
from pmm_jax.runtime.log_filters import filter_logs, filter_unraisable
from pmm_jax.runtime.platforms import current_platform, on_cpu, override_platform
from pmm_jax.runtime.signals import interrupt_on_signals

__all__ = [
    "current_platform",
    "disable_async_dispatch",
    "on_cpu",
    "override_platform",
    "set_up_process",
    "set_up_training",
    "trim_heap",
    "trim_settling_heap",
    "tune_malloc",
]


def set_up_process() -> None:
    """Set up the process of a command: malloc, compile cache, signals, streams, log filters.

    It has to come before jax is imported, and imports nothing slow itself.
    """
    tune_malloc()
    enable_compile_cache()
    interrupt_on_signals()
    filter_logs()
    sys.unraisablehook = filter_unraisable
    # None where the process was started without them; libraries write to them all the same.
    sys.stdout, sys.stderr = sys.stdout or _devnull(), sys.stderr or _devnull()


def set_up_training() -> None:
    """Set up a process that trains, once its options are read; imports jax."""
    disable_async_dispatch()
    import_tensorboard_without_torch()


def disable_async_dispatch() -> None:
    """Have jax run programs for the CPU in the thread that calls them, one after the other.

    In the background, a program frees its scratch milliseconds after its results are there, when
    the next step has taken a second one; the heap would keep both. Several devices still run at
    once. This has to come before anything asks jax for its devices, and changes nothing on an
    accelerator.
    """
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)


def import_tensorboard_without_torch() -> None:
    """Import tensorboardX as if torch were not there.

    Where that is found, tensorboardX imports it (seconds, 300 MB), and scalars need none of it.
    """
    if "torch" in sys.modules:
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # `import torch` raises ImportError
    try:
        import tensorboardX  # noqa: F401
    finally:
        del sys.modules["torch"]


def _devnull() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
