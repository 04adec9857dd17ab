"""Ctrl-C, SIGTERM and a lost terminal, which a run answers by saving first."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """The signals let the run save first; the function yielded says if one came."""
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came:  # the second one means it
            # No exception: raised in the midst of orbax's or jax's work it would be swallowed, or
            # end in their tracebacks. The system frees the lock, the next start removes the rest.
            os.write(2, b"interrupted; what was trained since the last checkpoint is lost\n")
            os._exit(128 + number)
        came.append(number)

    # One that is ignored stays so: nohup runs a command that way.
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
