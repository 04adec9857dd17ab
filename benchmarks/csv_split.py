"""Splits of a set that has none of its own, written as the CSV file that data.name folder reads."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pmm_jax.errors import UserError
from pmm_jax.files import user_path

Row = tuple[str, int, int, str]
"""Path relative to the CSV file's folder, identity, camera, split."""


def relative(path: Path, below: Path) -> str:
    """An image's path as the CSV file has it.

    Raises:
        UserError: it is not below that folder.
    """
    try:
        return path.resolve().relative_to(below.resolve()).as_posix()
    except ValueError:
        raise UserError(
            f"{path.parent} is not below {below}; write the CSV file above it"
        ) from None


def main(
    description: str, identities: int, rows: Callable[[Path, Path, int], Iterator[Row]]
) -> None:
    """Write the CSV file that the command line names: DIR FILE.csv [--identities N].

    Args:
        description: first line of --help.
        identities: where the command line gives none.
        rows: from DIR, FILE.csv's folder and the number of identities.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("root", type=user_path, metavar="DIR")
    parser.add_argument("file", type=user_path, metavar="FILE.csv")
    parser.add_argument("--identities", type=int, default=identities)
    options = parser.parse_args()
    try:
        found = list(rows(options.root, options.file.parent, options.identities))
        with options.file.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "id", "camera", "split"])
            writer.writerows(found)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    counts = Counter(row[3] for row in found)
    print(", ".join(f"{counts[name]:,} {name}" for name in ("train", "query", "gallery")))
