"""Keep the memory of one step for the next, on CPU."""

import ctypes
import os
import sys
from pathlib import Path

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


# Device files of NVIDIA, AMD and Google accelerators.
_ACCELERATORS = ("nvidia0", "kfd", "accel0", "accel/accel0", "vfio/0")


def keep_freed_memory() -> bool:
    """Ask glibc not to give freed memory back; True where that was done.

    XLA on CPU allocates the scratch of a whole step, hundreds of megabytes, and frees it at its
    end. By default malloc maps and unmaps it every time, and the page faults cost a third of a
    narrow model's step. The settings reach only memory pools that don't exist yet, so this has to
    come before jax starts its threads. Where an accelerator does the work, and on systems without
    glibc, nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    accelerated = any(Path("/dev", name).exists() for name in _ACCELERATORS)
    if accelerated and os.environ.get("JAX_PLATFORMS") != "cpu":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    settings = {
        _M_ARENA_MAX: 1,
        _M_MMAP_MAX: 0,
        _M_TRIM_THRESHOLD: 2**31 - 1,
        _M_TOP_PAD: 64 * 2**20,
    }
    return all(mallopt(option, value) for option, value in settings.items())
