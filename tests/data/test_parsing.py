"""Text and numbers from strangers."""

from pathlib import Path

import pytest

from pmm_jax.data.parsing import INT64_MAX, int64, read_utf8, shortened
from pmm_jax.errors import UserError


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffÅ\r\n".encode())
    assert read_utf8(tmp_path / "a.txt") == "Å\r\n"


@pytest.mark.parametrize(("content", "line"), [(b"\xff", 1), (b"a\nb\n\xc3(\n", 3)])
def test_what_is_not_utf8_is_refused_by_line(tmp_path: Path, content: bytes, line: int) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.txt:{line} is not UTF-8"):
        read_utf8(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("0", 0),
        ("-1", -1),
        ("007", 7),
        ("0" * 5000 + "7", None),
        (str(INT64_MAX), INT64_MAX),
        (str(INT64_MAX + 1), None),
        ("18446744073709551615", None),
        ("9" * 5000, None),
    ],
)
def test_numbers_are_bounded(digits: str, number: int | None) -> None:
    assert int64(digits) == number


def test_long_texts_are_shortened_in_the_middle() -> None:
    assert shortened("a" * 60) == "a" * 60
    assert shortened("a" * 40 + "b" * 40) == "a" * 30 + "..." + "b" * 30
