"""The versions and the machine that a run is carried out with."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
CHECKOUT = Path(__file__).parents[2]
"""Holds .git where the package lies in a checkout."""
GIT_SECONDS = 10.0


def versions() -> dict[str, str | None]:
    """Versions of the package, its libraries and Python.

    `commit` is None where the package lies in no checkout; it ends in `-dirty` where tracked files
    differ from it.
    """
    # Not its metadata's: a checkout need not be installed.
    own = {"pmm_jax": sys.modules["pmm_jax"].__version__, "commit": _commit()}
    others = {name: importlib.metadata.version(name) for name in PACKAGES}
    return own | others | {"python": platform.python_version()}


def machine() -> dict[str, Any]:
    """Processor, cores, memory, jax's devices and processes; it initializes jax's devices."""
    import jax

    devices = Counter((device.platform, device.device_kind) for device in jax.devices())
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "devices": [
            {"platform": name, "kind": kind, "count": count}
            for (name, kind), count in sorted(devices.items())
        ],
        "processes": jax.process_count(),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    # A folder above may be of somebody else's repository, in whose .venv the package lies.
    if not (CHECKOUT / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git, or one that doesn't trust the folder
        return None
    return done.stdout.strip()
