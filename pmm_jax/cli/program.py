"""Set-up and error handling of every entry point.

Nothing here is slow to import: an entry point calls `main` first, which answers signals from then
on, and imports what it needs inside.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TextIO

from pmm_jax.errors import Interrupted, UserError
from pmm_jax.files import printable
from pmm_jax.runtime import set_up_process
from pmm_jax.runtime.log_filters import NO_ROOM, silence_exit


def main(program: Callable[[Sequence[str]], None]) -> None:
    """Run an entry point: a UserError becomes one line on standard error and exit code 2.

    Where nobody reads standard output any more, it ends without a word, with the exit code that a
    shell gives to a program that SIGPIPE ended.
    """
    set_up_process()
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
        if error.errno in NO_ROOM:
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
        _end(f"error: out of memory ({reason}); lower the batch size or evaluate.query_block", 2)
    except Interrupted as end:
        _end(f"{end}; the same command goes on from there", 130)
    except KeyboardInterrupt as end:
        _end("interrupted", 128 + (end.args[0] if end.args else signal.SIGINT))


def _end(line: str, code: int) -> NoReturn:
    silence_exit()
    try:
        print(printable(line), file=sys.stderr)
    except OSError:
        _discard(sys.stderr)
    try:
        _flush_output()
    except OSError:
        _discard(sys.stdout)
    sys.exit(code)


def _flush_output() -> None:
    sys.stdout.flush()


def _discard(stream: TextIO) -> None:
    """Have the interpreter's own last flush of a stream that can't be written succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
