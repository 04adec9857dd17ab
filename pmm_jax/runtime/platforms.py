"""The platform that programs are made for: asked here, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_override: ContextVar[str | None] = ContextVar("platform", default=None)


def current_platform() -> str:
    """`cpu`, `gpu` or `tpu`: jax's default backend."""
    import jax

    return _override.get() or jax.default_backend()


def on_cpu() -> bool:
    """Whether programs are for a CPU."""
    return current_platform() == "cpu"


@contextmanager
def override_platform(platform: str) -> Iterator[None]:
    """Trace for another platform than the one at hand: to lower a program for it, or read it.

    A function that was traced before keeps its program.
    """
    token = _override.set(platform)
    try:
        yield
    finally:
        _override.reset(token)
