"""Handling of Ctrl-C, SIGTERM and a lost terminal: a run saves its state first."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from pmm_jax.runtime.signals import SIGNALS


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Defer signals, so that a run saves first; yields a function that says if one came.

    None is heard where Python lets no handler be set, outside of the main thread.
    """
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came:  # the second one means it
            # No exception: raised in the midst of orbax's or jax's work it would be swallowed, or
            # end in their tracebacks. The system frees the lock, the next start removes the rest.
            os.write(2, b"interrupted; what was trained since the last checkpoint is lost\n")
            os._exit(128 + number)
        came.append(number)

    is_main = threading.current_thread() is threading.main_thread()
    # One that is ignored stays so: nohup runs a command that way. None is a handler of somebody
    # else's C, which Python couldn't put back.
    kept = (signal.SIG_IGN, None)
    heard = [number for number in SIGNALS if is_main and signal.getsignal(number) not in kept]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
