import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.search.where import parse_where

COLUMNS = {
    "path": np.array(["a.jpg", "b.jpg", 'c"d.jpg', "e\\f.jpg"]),
    "id": np.array(["1", "2", "x", "and"]),
    "camera": np.array([1, 2, 3, 3]),
    "score": np.array([0.5, np.nan, -1.0, 2e3]),
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("camera != 3", [0, 1]),
        ("camera = 3", [2, 3]),
        ("camera >= 2 and score < 0", [2]),
        ("camera == 1 or camera == 2 and id == 'x'", [0]),
        ("(camera == 1 or camera == 2) and not id in ['2']", [0]),
        ("NOT camera in [1, 2.5, 3]", [1]),
        ("id not in [\"1\", 'and']", [1, 2]),
        ("not not camera < 2", [0]),
        ("score != 0.5 AND score <= 2e3", [2, 3]),
        (r'path == "c\"d.jpg" or path == "e\\f.jpg"', [2, 3]),
        ("score > -1.5 and camera <= 3", [0, 2, 3]),
    ],
)
def test_rows_that_meet_a_condition(text: str, rows: list[int]) -> None:
    condition = parse_where(text)
    np.testing.assert_array_equal(np.flatnonzero(condition.rows(COLUMNS)), rows)
    # What an engine is given means the same.
    again = parse_where(condition.to_text())
    np.testing.assert_array_equal(np.flatnonzero(again.rows(COLUMNS)), rows)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "camera",
        "camera ==",
        "camera == 3 and",
        "camera == 3)",
        "(camera == 3",
        "3 == camera",
        "camera == id",
        "camera in 3",
        "camera in []",
        "camera == 3; DROP TABLE images",
        "camera == 3 -- x",
        "camera == __import__('os')",
        "camera == 1 camera == 2",
        "and == 3",
        "camera == 'a\nb",
        "camera == \x1b[31m",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="can't read the condition") as error:
        parse_where(text)
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


def test_what_would_be_deep_or_long_is_refused() -> None:
    with pytest.raises(UserError, match="parentheses"):
        parse_where("(" * 400 + "camera == 1" + ")" * 400)
    with pytest.raises(UserError, match="too long"):
        parse_where("camera == 1 or " * 100 + "camera == 1")
    with pytest.raises(UserError, match="too large"):
        parse_where(f"camera == {2**64}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame == 1", "no column frame; there are path, id, camera"),
        ("camera == '3'", 'column camera holds numbers, and "3" is none'),
        ("id in ['1', 2]", "column id holds text, and 2 is none"),
    ],
)
def test_a_column_has_to_fit(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_where(text).rows(COLUMNS)
