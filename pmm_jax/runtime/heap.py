"""glibc's malloc, set to keep the memory of one step for the next, on a CPU."""

import ctypes
import os
import sys
from pathlib import Path

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
# Linux's mman.h
_MADV_HUGEPAGE = 14
_HUGE_PAGE = 2 * 2**20
_RESERVED = 1536 * 2**20
_SETTLING = 64
"""Steps after which the heap is taken as settled."""
_tuned = False
"""Whether this process asked malloc to keep what is freed."""


# Device files of NVIDIA, AMD and Google accelerators.
_ACCELERATORS = ("nvidia0", "kfd", "accel0", "accel/accel0", "vfio/0")


def tune_malloc() -> bool:
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
        libc = ctypes.CDLL(None)
        mallopt = libc.mallopt
    except AttributeError:  # musl has none
        return False
    settings = {
        _M_ARENA_MAX: 1,
        _M_MMAP_MAX: 0,
        _M_TRIM_THRESHOLD: -1,  # never
        _M_TOP_PAD: 64 * 2**20,
    }
    global _tuned
    _tuned = all(mallopt(option, value) for option, value in settings.items())
    if _tuned:
        _advise_huge_pages(libc)
    return _tuned


def trim_heap() -> None:
    """Return the pages of all memory that is free now, once, to the system.

    For after a compilation, which leaves hundreds of megabytes that no step needs. Nothing is set:
    huge pages are asked for only in a process that `tune_malloc` was called in.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
    except AttributeError:  # musl has none
        return
    if _tuned:
        # The top of the heap went back with its mark; addresses taken anew there have none.
        _advise_huge_pages(libc)


def trim_settling_heap(step: int) -> None:
    """`trim_heap` where the heap is still settling: after steps 1, 2, 4 and so on to 64.

    A step's scratch is one block. Small things that stay come to lie against it, so that the next
    step's, which malloc aligns, no longer fits its place and takes another; the places left behind
    would stay resident, one scratch each.

    Args:
        step: from 1, of this process.
    """
    if step <= _SETTLING and step & (step - 1) == 0:
        trim_heap()


def _advise_huge_pages(libc: ctypes.CDLL) -> None:
    """Reserve address space for the heap and mark it for pages of 2 MiB.

    The fastest steps gain a tenth. Only addresses are taken; memory follows when it is used. Where
    the kernel refuses, pages stay small and nothing else changes.
    """
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = libc.malloc(_RESERVED)
    if start is None:
        return
    aligned = -(-start // _HUGE_PAGE) * _HUGE_PAGE
    length = (start + _RESERVED - aligned) // _HUGE_PAGE * _HUGE_PAGE
    libc.madvise(aligned, length, _MADV_HUGEPAGE)
    libc.free(start)
