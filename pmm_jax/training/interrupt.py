"""Ctrl-C, SIGTERM and a lost terminal, which a run answers by saving first."""

import contextlib
import signal
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """The signals let the run save first; the function yielded says if one came."""
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came:  # the second one means it
            raise KeyboardInterrupt
        came.append(number)

    # One that is ignored stays so: nohup runs a command that way.
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
