"""The columns of a CSV file, as numbers where every cell is one."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pmm_jax.data.parsing import int64, read_utf8, shortened
from pmm_jax.embedding_table import check_columns
from pmm_jax.errors import UserError
from pmm_jax.files import printable

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""JSON's: no zeros in front, as names such as 0002 have."""


def read_columns(file: Path, needed: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of a CSV file.

    Names of columns are taken in small letters, and space around names and cells is dropped. A
    column is int64 where every cell is an integer as it is usually written, float64 where every
    cell is a number, and otherwise str: with an empty cell, with names such as 0002, or with
    integers beyond int64.

    Args:
        file: UTF-8, separated by commas, with names in its first line.
        needed: columns that it must have, without empty cells.

    Returns:
        By name, (N,) each.

    Raises:
        UserError: it can't be read, lacks a column or a cell, or has no rows.
    """
    try:
        text = read_utf8(file)
    except OSError as error:
        raise UserError(f"can't read {file}: {error.strerror or error}") from error
    if "\0" in text:
        raise UserError(f"{file} holds a NUL character; save the table as CSV again")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        _check_header(file, header, needed)
        rows = [
            _row(f"{file}:{lines.line_num}", header, cells, needed) for cells in lines if any(cells)
        ]
    except csv.Error as error:
        raise UserError(
            f"{file}:{lines.line_num} is not CSV ({error}); look for a quotation mark that is "
            "never closed, in this line or above"
        ) from None
    if not rows:
        raise UserError(f"{file} has no line below its first; give a file that lists something")
    return {
        name: column_of(list(cells))
        for name, cells in zip(header, zip(*rows, strict=True), strict=True)
    }


def column_of(cells: list[str]) -> np.ndarray:
    """The cells of a column, as numbers where every one is a number: see `read_columns`."""
    if all(map(_INTEGER.fullmatch, cells)):
        numbers = [int64(cell) for cell in cells]
        return np.array(cells if None in numbers else numbers)
    if all(map(_NUMBER.fullmatch, cells)) and all(math.isfinite(float(cell)) for cell in cells):
        return np.array([float(cell) for cell in cells])
    return np.array(cells)


def _check_header(file: Path, header: list[str], needed: Sequence[str]) -> None:
    lacking = [name for name in needed if name not in header]
    if lacking:
        first = ",".join(header)
        other = next((mark for mark in (";", "\t") if mark in first), None)
        hint = f"; columns are separated by commas, not by {other!r}" if other else ""
        raise UserError(
            f"{file} has no column {lacking[0]} in its first line ({printable(shortened(first))}); "
            f"it needs {', '.join(needed)}{hint}"
        )
    wrong = [name for name in header if not name or header.count(name) > 1]
    if wrong:
        what = f"has two columns {printable(wrong[0])}" if wrong[0] else "has a column without name"
        raise UserError(f"{file} {what}; give each a name of its own")
    check_columns(header)


def _row(where: str, header: list[str], cells: list[str], needed: Sequence[str]) -> list[str]:
    if len(cells) > len(header):
        raise UserError(
            f"{where} has {len(cells)} cells for {len(header)} columns; put what holds a comma "
            "into quotation marks"
        )
    row = [cell.strip() for cell in cells] + [""] * (len(header) - len(cells))
    for name in needed:
        if not row[header.index(name)]:
            raise UserError(f"{where} has no {name}; fill it in, or take the line out")
    return row
