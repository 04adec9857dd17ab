"""Filters of library messages that only repeat an error, or warn in vain."""

import errno
import logging
import sys
import warnings

_IN_VAIN = ("Failed to run", "raised an exception", "requested but enable_write=false")
"""The traceback of a write that fails behind the training; that it notes no times of its own."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Messages of the system about a full disk."""
_FAILURES = ("orbax", "No space left", "RESOURCE_EXHAUSTED", "Disk quota", "File too large")


def is_worth_logging(record: logging.LogRecord) -> bool:
    """A filter for the logger `absl`, which orbax writes to."""
    return not any(words in record.getMessage() for words in _IN_VAIN)


def filter_logs() -> None:
    """Leave out what orbax logs of a failed write, whenever it comes, and pymilvus of any error."""
    # A failed write drops the others half made. All are libraries': no code of ours has one.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    logging.getLogger("absl").addFilter(is_worth_logging)
    # The traceback of an error that it raises, too.
    logging.getLogger("pymilvus.decorators").addFilter(lambda _: False)
    # The same failure once more, from tasks that nobody waits for after the first one.
    logging.getLogger("asyncio").addFilter(
        lambda record: (
            "never retrieved" not in record.getMessage()
            or not any(words in record.getMessage() for words in _FAILURES)
        )
    )


def filter_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """A `sys.unraisablehook` that leaves out what only repeats an error that was raised.

    Tensorstore tells of a failed write to loops that orbax has closed by then, hundreds of times.
    """
    error = unraisable.exc_value
    # A file that could not be flushed tries once more when it is forgotten.
    is_full = isinstance(error, OSError) and error.errno in NO_ROOM
    if not is_full and str(error) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def silence_exit() -> None:
    """Silence the process at exit, where libraries only repeat a failure."""
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
