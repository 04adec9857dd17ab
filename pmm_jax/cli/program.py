"""What every entry point does around its work: make the process ready, and say errors in one line.

Nothing here is slow to import: an entry point calls `main` first, which answers signals from then
on, and imports what it needs inside.
"""

import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn, TextIO

from pmm_jax.compile_cache import keep_compiled_programs
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.files import printable
from pmm_jax.host_memory import keep_freed_memory
from pmm_jax.orbax_log import silence_process

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(program: Callable[[Sequence[str]], None]) -> None:
    """Run an entry point: a UserError becomes one line on standard error and exit code 2.

    Where nobody reads standard output any more, it ends without a word, with the exit code that a
    shell gives to a program that SIGPIPE ended.
    """
    keep_freed_memory()
    keep_compiled_programs()
    interrupt_on_signals()
    sys.unraisablehook = _show_unraisable
    silence_process()
    # None where the process was started without them; libraries write to them all the same.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    try:
        try:
            program(sys.argv[1:])
        except SystemExit:  # with another code, such as after --help
            _flush_output()
            raise
        _flush_output()
    except UserError as error:
        _end(f"error: {error}", 2)
    except BrokenPipeError:
        _discard(sys.stdout)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in _NO_ROOM:
            _end(
                f"error: no room left on the disk{where}; free some, and the same command goes on "
                "from the last checkpoint",
                2,
            )
        _end(f"error: {error.strerror}{where}", 2)
    except (MemoryError, RuntimeError) as error:
        # jax has no type of its own for it.
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200] or "the system has no more"
        _end(f"error: out of memory ({reason}); lower the batch size or evaluate.chunk", 2)
    except Interrupted as end:
        _end(f"{end}; the same command goes on from there", 130)
    except KeyboardInterrupt as end:
        _end("interrupted", 128 + (end.args[0] if end.args else signal.SIGINT))


def interrupt_on_signals() -> None:
    """Have SIGINT, SIGTERM and a lost terminal end the program the same way, cleaning up."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, interrupt)


def _show_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Leave out what only repeats an error that was raised, and is said in one line.

    Tensorstore tells of a failed write to loops that orbax has closed by then, hundreds of times.
    """
    error = unraisable.exc_value
    # A file that could not be flushed tries once more when it is forgotten.
    is_full = isinstance(error, OSError) and error.errno in _NO_ROOM
    if not is_full and str(error) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _end(line: str, code: int) -> NoReturn:
    # What libraries say while they are torn down is about the same failure, in many lines.
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    try:
        print(printable(line), file=sys.stderr)
    except OSError:
        _discard(sys.stderr)
    try:
        _flush_output()
    except OSError:
        _discard(sys.stdout)
    sys.exit(code)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _flush_output() -> None:
    sys.stdout.flush()


def _discard(stream: TextIO) -> None:
    """Have the interpreter's own last flush of a stream that can't be written succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
