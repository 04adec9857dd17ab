"""A CSV file with columns path, id, split and, if known, camera."""

import csv
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

from pmm_jax.data.folder.entry import Entry
from pmm_jax.data.records import SPLITS, Problem
from pmm_jax.errors import UserError

LISTED_TWICE = "listed twice in one split, used once"


def read_table(file: Path, problems: list[Problem]) -> list[Entry]:
    """Entries of a CSV file; its faulty lines become fatal problems."""
    try:
        # Excel's "CSV UTF-8" starts with a byte order mark, which utf-8-sig takes off.
        with open(file, newline="", encoding="utf-8-sig") as stream:
            lines = csv.DictReader(stream)
            header = [(name or "").strip().lower() for name in lines.fieldnames or []]
            lines.fieldnames = header
            rows = [(lines.line_num, row) for row in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is no UTF-8 CSV file ({error}); save it as one") from error
    lacking = [name for name in ("path", "id", "split") if name not in header]
    if lacking:
        raise UserError(
            f"{file} has no column {lacking[0]} in its first line ({','.join(header)}); "
            "columns are path,id,camera,split, camera optional"
        )
    cameras = _number_cameras((row.get("camera") or "").strip() for _, row in rows)
    entries: dict[tuple[str, str], Entry] = {}
    owner: dict[str, str] = {}
    for number, row in rows:
        path, identity, split = ((row[name] or "").strip() for name in ("path", "id", "split"))
        where = f"{file.name}:{number}"
        if not path or not identity:
            problems.append(Problem(where, "line lacks its path or id; fill it in", fatal=True))
            continue
        if split.lower() not in SPLITS:
            reason = f"split {split!r} is none of {', '.join(SPLITS)}"
            problems.append(Problem(where, reason, fatal=True))
            continue
        path = os.path.expanduser(path)
        path = posixpath.normpath(os.path.relpath(path, file.parent) if path[0] == "/" else path)
        key = (path, split.lower())
        if owner.setdefault(path, identity) != identity:
            reason = f"{path} is listed as identity {owner[path]} and as {identity}; keep one"
            problems.append(Problem(where, reason, fatal=True))
        elif key in entries:
            problems.append(Problem(path, LISTED_TWICE, fatal=False))
        else:
            camera = cameras[(row.get("camera") or "").strip()]
            entries[key] = Entry(path, identity, camera, split.lower())
    return list(entries.values())


def _number_cameras(values: Iterable[str]) -> dict[str, int | None]:
    """Numbers stay as they are; where a camera has a name, all are numbered in sorted order."""
    distinct = sorted(set(values) - {""})
    numeric = all(value.isdecimal() for value in distinct)
    numbered: dict[str, int | None] = {"": None}
    for index, value in enumerate(distinct):
        numbered[value] = int(value) if numeric else index
    return numbered
