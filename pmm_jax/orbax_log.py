"""What orbax logs of a failed write, which we say in one line, and what it warns of in vain."""

import logging
import warnings

_IN_VAIN = ("Failed to run", "raised an exception", "requested but enable_write=false")
"""The traceback of a write that fails behind the training; that it notes no times of its own."""
_FAILURES = ("orbax", "No space left", "RESOURCE_EXHAUSTED", "Disk quota", "File too large")


def is_worth_saying(record: logging.LogRecord) -> bool:
    """A filter for the logger `absl`, which orbax writes to."""
    return not any(words in record.getMessage() for words in _IN_VAIN)


def silence_process() -> None:
    """For a process that is ours alone: say none of it, whenever it comes."""
    # A failed write drops the others half made; none is ours.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    logging.getLogger("absl").addFilter(is_worth_saying)
    # The same failure once more, from tasks that nobody waits for after the first one.
    logging.getLogger("asyncio").addFilter(
        lambda record: (
            "never retrieved" not in record.getMessage()
            or not any(words in record.getMessage() for words in _FAILURES)
        )
    )
