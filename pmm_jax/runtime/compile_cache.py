"""Compiled programs outlive the process: a second start of a config doesn't compile again."""

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_named: list[str] = []
"""The folder that this module put there."""


def enable_compile_cache() -> None:
    """Name a folder for jax's persistent compilation cache, unless the environment names one.

    It lies under $XDG_CACHE_HOME or ~/.cache. Programs for a CPU hold instructions that another
    processor may lack, and a home directory is often shared, so each kind of machine has a
    folder of its own. Where none can be made, nothing is kept. This has to come before jax is
    imported; setting JAX_ENABLE_COMPILATION_CACHE=false turns the cache off.
    """
    if VARIABLE in os.environ:
        os.environ[VARIABLE] = os.path.expanduser(os.environ[VARIABLE])
        return
    home = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    folder = Path(home, "pmm_jax", f"compiled-{_machine()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    os.environ[VARIABLE] = str(folder)
    _named.append(str(folder))


def disable_default_compile_cache() -> None:
    """Keep nothing after all, unless the environment named the folder.

    For several processes: one that finds a program compiled would leave the others waiting for
    what they work out together. Before anything is compiled.
    """
    if os.environ.get(VARIABLE) in _named:
        import jax

        del os.environ[VARIABLE]
        jax.config.update("jax_compilation_cache_dir", None)


def _machine() -> str:
    """A short hash of the compiler's version and of what the processor can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = [platform.processor()]
    able = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    key = "\n".join([version("jaxlib"), platform.machine(), able])
    return hashlib.sha256(key.encode()).hexdigest()[:8]
