"""Columns of a CSV file, and the lines that can't be read."""

from pathlib import Path

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.sources.csv_columns import column_of, read_columns


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-20", "0"], "i"),
        (["9223372036854775807"], "i"),
        (["9223372036854775808", "1"], "U"),
        (["0002", "0003"], "U"),
        (["2", "0003"], "U"),
        (["+1"], "U"),
        (["-0"], "f"),
        (["1", "2.5", "-1e3"], "f"),
        (["1e999"], "U"),
        (["nan"], "U"),
        (["1_000"], "U"),
        (["\u0661"], "U"),
        (["1", ""], "U"),
        (["a b"], "U"),
    ],
)
def test_a_column_is_numbers_where_no_cell_would_change(cells: list[str], kind: str) -> None:
    found = column_of(cells)
    assert found.dtype.kind == kind
    assert found.dtype in (np.int64, np.float64) or kind == "U"
    if kind != "f":
        assert [str(value) for value in found.tolist()] == cells


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\ufeffPath, id ,Note\r\na.jpg,1,\r\n\r\n b.jpg ,2\r\n,,\r\n", encoding="utf-8")
    found = read_columns(file, ("path",))
    assert {name: column.tolist() for name, column in found.items()} == {
        "path": ["a.jpg", "b.jpg"],
        "id": [1, 2],
        "note": ["", ""],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column path in its first line"),
        ("a;path\n", r"separated by commas, not by ';'"),
        ("path\n", "no line below its first"),
        ("path,id\n,1\n", r"a.csv:2 has no path"),
        ("path\na,b\n", "2 cells for 1 columns"),
        ("path,id,ID\na,1,2\n", "has two columns id"),
        ("path,\na,1\n", "a column without name"),
        ("path,embedding\na,1\n", "can't be called embedding"),
        ('path\n"a\n', "is not CSV .*never closed"),
        ("path\n\0\n", "NUL"),
        ("path\n\xff\n", "is not UTF-8"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=said) as end:
        read_columns(file, ("path",))
    assert "\n" not in str(end.value)
