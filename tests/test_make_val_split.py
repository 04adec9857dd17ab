from collections import Counter
from pathlib import Path

import pytest

from benchmarks.make_val_split import val_split_rows
from pmm_jax.config import DataConfig
from pmm_jax.data.datasets.market1501 import Market1501
from pmm_jax.errors import UserError


def test_each_identity_is_on_one_side_and_each_image_is_used_once(people: Path) -> None:
    rows = list(val_split_rows(people, people.parent, 4))
    assert len(rows) == len(Market1501(DataConfig(root=str(people))).scan().splits["train"])
    sides: dict[int, set[str]] = {}
    for path, identity, _, split in rows:
        assert (people.parent / path).is_file()
        sides.setdefault(identity, set()).add(split)
    assert Counter("train" in side for side in sides.values()) == {True: 5, False: 4}
    assert all(side == {"train"} or "train" not in side for side in sides.values())
    assert {row[3] for row in rows} == {"train", "query", "gallery"}
    assert rows == list(val_split_rows(people, people.parent, 4))


@pytest.mark.parametrize("identities", [0, 9])
def test_too_few_identities_are_refused(people: Path, identities: int) -> None:
    with pytest.raises(UserError, match="has 9 to train on"):
        list(val_split_rows(people, people.parent, identities))


def test_a_file_elsewhere_is_refused(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="write the CSV file above it"):
        list(val_split_rows(people, tmp_path, 4))
