from pathlib import Path

import pytest

from benchmarks.cuhk01 import rows
from pmm_jax.errors import UserError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "campus"
    root.mkdir()
    for identity in (1, 2, 7):
        for image in (1, 2, 3, 4):
            (root / f"{identity:04d}{image:03d}.png").touch()
    (root / "Thumbs.db").touch()
    return root


def test_camera_1_asks_camera_2(images: Path) -> None:
    found = list(rows(images, images.parent, 2))
    assert len(found) == 12
    assert {row[1] for row in found if row[3] == "train"} == {1, 2}
    assert [row for row in found if row[3] != "train"] == [
        ("campus/0007001.png", 7, 1, "query"),
        ("campus/0007002.png", 7, 1, "query"),
        ("campus/0007003.png", 7, 2, "gallery"),
        ("campus/0007004.png", 7, 2, "gallery"),
    ]


def test_what_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 3"):
        list(rows(images, images.parent, 3))
    with pytest.raises(UserError, match="named like"):
        list(rows(tmp_path, tmp_path, 1))
    with pytest.raises(UserError, match="write the CSV file above it"):
        list(rows(images, images / "below", 1))
