"""A CSV file with columns path, id, split and, if known, camera."""

import csv
import io
import os
import posixpath
import re
from pathlib import Path

from pmm_jax.data.datasets.folder.listing import Entry
from pmm_jax.data.parsing import read_utf8, shortened
from pmm_jax.data.records import SPLITS, Problem
from pmm_jax.errors import UserError

COLUMNS = ("path", "id", "camera", "split")
LISTED_TWICE = "listed twice in one split, used once"
LISTED_AS_TWO = "image is listed as two identities"
_UNKNOWN = ("", "-1")
"""Cells of the column camera that stand for no camera."""
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def read_table(file: Path, problems: list[Problem]) -> list[Entry]:
    """Entries of a CSV file; its faulty lines become fatal problems.

    Raises:
      UserError: it is no UTF-8 CSV file, or lacks a column.
    """
    entries: dict[tuple[str, str], Entry] = {}
    owner: dict[str, str] = {}
    for number, row in _rows(file):
        where = f"{file.name}:{number}"
        fault = _fault(where, row)
        if fault:
            problems.append(fault)
            continue
        path, identity, split = _path(file.parent, row["path"]), row["id"], row["split"].lower()
        if owner.setdefault(path, identity) != identity:
            detail = f"{path}: {shortened(owner[path])} and {shortened(identity)}"
            problems.append(
                Problem(where, LISTED_AS_TWO, fatal=True, hint="keep one", detail=detail)
            )
        elif (path, split) in entries:
            problems.append(Problem(path, LISTED_TWICE, fatal=False))
        else:
            camera = None if row["camera"] in _UNKNOWN else row["camera"]
            entries[path, split] = Entry(path, identity, camera, split)
    return list(entries.values())


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Number of the last line, and cells by column, of each row."""
    lines = csv.reader(io.StringIO(read_utf8(file), newline=""))
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        _check_header(file, header)
        place = {name: header.index(name) for name in COLUMNS if name in header}
        return [
            (lines.line_num, {c: _cell(cells, place.get(c)) for c in COLUMNS})
            for cells in lines
            if any(cells)
        ]
    except csv.Error as error:
        raise UserError(
            f"{file}:{lines.line_num} is not CSV ({error}); look for a quotation mark that is "
            "never closed, in this line or above"
        ) from None


def _cell(cells: list[str], place: int | None) -> str:
    return cells[place].strip() if place is not None and place < len(cells) else ""


def _check_header(file: Path, header: list[str]) -> None:
    lacking = [name for name in ("path", "id", "split") if name not in header]
    if lacking:
        first = ",".join(header)
        other = next((mark for mark in (";", "\t") if mark in first), None)
        hint = f"; columns are separated by commas, not by {other!r}" if other else ""
        raise UserError(
            f"{file} has no column {lacking[0]} in its first line ({shortened(first)}); "
            f"columns are path,id,camera,split, camera optional{hint}"
        )


def _fault(where: str, row: dict[str, str]) -> Problem | None:
    """What is wrong with a line."""
    if not row["path"] or not row["id"]:
        return Problem(where, "line lacks its path or id", True, "fill it in")
    if any("\0" in cell for cell in row.values()):
        return Problem(where, "line holds a NUL character", True, "save the table as CSV again")
    if row["split"].lower() not in SPLITS:
        reason = f"split is none of {', '.join(SPLITS)}"
        return Problem(where, reason, True, "choose one of them", repr(shortened(row["split"])))
    if _DRIVE.match(row["path"]):
        hint = "write paths from the CSV file's own folder on"
        return Problem(where, "path begins with a Windows drive", True, hint)
    return None


def _path(folder: Path, path: str) -> str:
    """The path from the CSV file's folder on, with forward slashes."""
    path = os.path.expanduser(path)
    # A backslash can be part of a name here; most often the table was written on Windows.
    if "\\" in path and not os.path.isfile(folder / path):
        path = path.replace("\\", "/")
    path = os.path.expanduser(path)
    return posixpath.normpath(os.path.relpath(path, folder) if path[0] == "/" else path)
