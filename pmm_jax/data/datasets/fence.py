"""Check that the images of a data set lie inside its folder, whatever lists and links say."""

import functools
import os
from pathlib import Path

from pmm_jax.data.records import Problem, Record

LEAVES_ROOT = "leads out of the data set's folder"
NOT_UTF8 = "file name is not UTF-8"


def fenced(root: Path, records: list[Record]) -> tuple[list[Record], list[Problem]]:
    """The records that stay inside the root, links followed, and a fatal problem for each other.

    A path that no system could open, or that is not UTF-8, is a fatal problem, too.
    """
    real = os.path.realpath(root)

    def is_inside(path: str) -> bool:
        return os.path.commonpath([real, os.path.realpath(path)]) == real

    # One lookup a folder, not an image: realpath costs a system call for each path component.
    folder_is_inside = functools.cache(is_inside)
    kept: list[Record] = []
    outside: list[str] = []
    problems: list[Problem] = []
    for record in records:
        path = os.path.join(real, record.path)
        if record.path.encode(errors="ignore").decode() != record.path:
            hint = "rename it, with convmv say"
            problems.append(Problem(record.path, NOT_UTF8, fatal=True, hint=hint))
        elif "\0" in path:
            problems.append(Problem(record.path, "path holds a NUL character", fatal=True))
        elif folder_is_inside(os.path.dirname(path)) and (
            not os.path.islink(path) or is_inside(path)
        ):
            kept.append(record)
        else:
            outside.append(record.path)
    hint = _way_in(root, outside)
    problems += [Problem(path, LEAVES_ROOT, fatal=True, hint=hint) for path in outside]
    return kept, problems


def _way_in(root: Path, paths: list[str]) -> str:
    """Hint for images outside the root, none of which needs to be copied."""
    real = os.path.realpath(root)
    targets = (os.path.realpath(os.path.join(real, path)) for path in paths)
    common = os.path.commonpath([real, *targets])
    where = f"in {common}, which holds them all" if common != os.sep else "in a folder above them"
    return (
        f"images must lie inside {root}, links followed; point data.root at the folder they really "
        f"lie in, or list them in a CSV file {where}"
    )
