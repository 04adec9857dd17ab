"""Child processes that never outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1  # Linux's prctl.h


def tied(command: Sequence[str]) -> list[str]:
    """The command for a child that the kernel kills when the calling thread ends.

    However that comes, by SIGKILL too. Where there is no Linux, it is the command as it is.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-I", __file__, str(os.getpid()), *command]


def run_to_end(command: Sequence[str], **options: Any) -> int:
    """Run a tied child to its end, and stop with it.

    Ctrl-C, SIGTERM and SIGHUP are passed on as SIGTERM, once for each time they come, so that the
    child can save its place.

    Args:
        command: program and arguments.
        options: of subprocess.Popen.

    Returns:
        The child's exit code.

    Raises:
        KeyboardInterrupt: a signal came; the child has ended.
    """
    came: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: object) -> None:
        came.append(number)
        for child in children:
            child.terminate()

    before = {
        number: signal.signal(number, pass_on)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # One that is ignored, as SIGHUP is under nohup, stays so; None is a handler of C's.
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        # In a group of its own, a terminal's Ctrl-C doesn't reach the child a second time.
        child = subprocess.Popen(tied(command), process_group=0, **options)
        children.append(child)
        if came:
            child.terminate()
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
    return code


def _end_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this
        sys.exit(1)


if __name__ == "__main__":
    _end_with(int(sys.argv[1]))
    # The setting survives the change of program.
    os.execv(sys.argv[2], sys.argv[2:])
