"""CUHK01 as a data set of one's own: the first identities for training, the rest for test.

    python -m benchmarks.cuhk01 DIR FILE.csv [--identities 485]
    python train.py --config ... --data.name folder --data.root FILE.csv

DIR holds CUHK01's images, named 0001001.png to 0971004.png: four digits of identity, three of the
image, of which 1 and 2 were taken by camera 1 and the others by camera 2. FILE.csv lies in a folder
above it. Camera 1 has the queries and camera 2 the gallery.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.csv_split import Row, main, relative
from pmm_jax.errors import UserError

NAME = re.compile(r"(\d{4})(\d{3})\.png")


def rows(root: Path, below: Path, identities: int) -> Iterator[Row]:
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
        split = "train" if identity in training else ("query", "gallery")[camera - 1]
        yield relative(path, below), identity, camera, split


if __name__ == "__main__":
    main("CUHK01 as a CSV file of one's own set.", 485, rows)
