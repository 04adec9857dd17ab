"""CUHK01 as a data set of one's own: the first identities for training, the rest for test.

    python -m benchmarks.cuhk01 DIR FILE.csv [--identities 485]
    python train.py --config ... --data.name folder --data.root FILE.csv

DIR holds CUHK01's images, named 0001001.png to 0971004.png: four digits of identity, three of the
image, of which 1 and 2 were taken by camera 1 and the others by camera 2. FILE.csv lies in a folder
above it. Camera 1 asks and camera 2 is the gallery.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pmm_jax.errors import UserError

NAME = re.compile(r"(\d{4})(\d{3})\.png")


def rows(root: Path, below: Path, identities: int) -> Iterator[tuple[str, int, int, str]]:
    """Path relative to `below`, identity, camera and split of each image.

    Raises:
        UserError: no such images, or none left for the test, or root is not below `below`.
    """
    named = [(path, NAME.fullmatch(path.name)) for path in sorted(root.glob("*.png"))]
    found = [(path, match) for path, match in named if match]
    known = sorted({int(match[1]) for _, match in found})
    if not found:
        raise UserError(f"{root} holds no images named like 0001001.png")
    if not 0 < identities < len(known):
        raise UserError(f"--identities is {identities}; {root} has {len(known)}")
    training = set(known[:identities])
    for path, match in found:
        identity, camera = int(match[1]), 1 if int(match[2]) <= 2 else 2
        try:
            relative = path.resolve().relative_to(below.resolve()).as_posix()
        except ValueError:
            raise UserError(f"{root} is not below {below}; write the CSV file above it") from None
        split = "train" if identity in training else ("query", "gallery")[camera - 1]
        yield relative, identity, camera, split


def main() -> None:
    """Write the CSV file."""
    parser = argparse.ArgumentParser(description="CUHK01 as a CSV file of one's own set.")
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("file", type=Path, metavar="FILE.csv")
    parser.add_argument("--identities", type=int, default=485)
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


if __name__ == "__main__":
    main()
