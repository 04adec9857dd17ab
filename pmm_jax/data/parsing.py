"""Text from strangers: list files, and the numbers in names and lists."""

from pathlib import Path

from pmm_jax.errors import UserError
from pmm_jax.files import read_regular

INT64_MAX = 2**63 - 1


def read_utf8(file: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        UserError: it is no regular file, or not UTF-8; the line is named.
        OSError: it can't be opened.
    """
    content = read_regular(file)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file}:{line} is not UTF-8 (byte {content[error.start]:#04x}); save the file as UTF-8"
        ) from None


def int64(digits: str) -> int | None:
    """The number that decimal digits with an optional minus stand for; None beyond an int64."""
    # Python refuses to convert thousands of digits, so their count is looked at first.
    if len(digits) > 4000 or len(digits.lstrip("-0")) > len(str(INT64_MAX)):
        return None
    number = int(digits)
    return number if abs(number) <= INT64_MAX else None


def shortened(text: str, length: int = 60) -> str:
    """The text for a message, its middle left out where it is long."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}...{text[-half:]}"
