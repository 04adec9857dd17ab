"""Validation split: training identities held out as query and gallery.

    python -m benchmarks.make_val_split DIR FILE.csv [--identities 150]
    python train.py --config ... --data.name folder --data.root FILE.csv

DIR is a folder in Market-1501's layout, and FILE.csv lies in a folder above it. Of the training
identities a few, sampled with a fixed seed, become query and gallery: of each camera's images of a
person every second one is a query. So settings are chosen without looking at the test set.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.csv_split import Row, main, relative
from pmm_jax.config import DataConfig
from pmm_jax.data.datasets.market1501 import Market1501
from pmm_jax.errors import UserError

SEED = 0


def val_split_rows(root: Path, below: Path, identities: int) -> Iterator[Row]:
    """Path relative to `below`, identity, camera and split of each training image.

    Raises:
        UserError: root is not laid out like Market-1501, is not below `below`, or has too few
            identities.
    """
    records = Market1501(DataConfig(root=str(root))).scan().splits["train"]
    known = sorted({record.identity for record in records})
    if not 0 < identities < len(known):
        raise UserError(f"--identities is {identities}; {root} has {len(known)} to train on")
    chosen = set(random.Random(SEED).sample(known, identities))
    seen: Counter[tuple[int, int]] = Counter()
    for record in sorted(records, key=lambda record: record.path):
        split = "train"
        if record.identity in chosen:
            seen[record.identity, record.camera] += 1
            split = "gallery" if seen[record.identity, record.camera] % 2 else "query"
        yield relative(root / record.path, below), record.identity, record.camera, split


if __name__ == "__main__":
    main("Make a validation split of training identities.", 150, val_split_rows)
