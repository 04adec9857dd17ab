"""Folders and CSV files of images."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.errors import UserError
from pmm_jax.sources import open_source


def image(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 2, 3), value, np.uint8)).save(path)
    return path


def test_a_folder_holds_all_below_it_but_what_is_hidden(tmp_path: Path) -> None:
    wanted = ["a/b/c/d/e/f/1.png", "a/z.JPG", "b.png"]
    for i, name in enumerate(wanted):
        image(tmp_path / name, i)
    for name in (".hidden.png", ".folder/1.png", "@eaDir/1.png", "a/._z.JPG.png"):
        image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "scan.tiff").write_text("")
    said: list[str] = []
    source = open_source(str(tmp_path), info=said.append)
    assert source.columns["path"].tolist() == [str(tmp_path / name) for name in wanted]
    assert [int(source.image(row).mean()) for row in range(3)] == [0, 1, 2]
    assert len(said) == 1
    assert "scan.tiff" in said[0]


def test_a_folder_is_the_same_by_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "set/1.png")
    monkeypatch.chdir(tmp_path)
    for name in ("set", "set/", "./set", "set/../set"):
        assert open_source(name).columns["path"].tolist() == [str(tmp_path / "set/1.png")]


def test_links_stay_inside(tmp_path: Path) -> None:
    image(tmp_path / "set/1.png")
    image(tmp_path / "other/2.png")
    (tmp_path / "set/link.png").symlink_to("1.png")
    (tmp_path / "set/again").symlink_to(".")
    names = [Path(path).name for path in open_source(f"{tmp_path}/set").columns["path"]]
    assert names == ["1.png", "link.png"]
    (tmp_path / "set/out").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="set/out leads out of"):
        open_source(f"{tmp_path}/set")


def test_a_csv_file_says_where_images_are_and_what_is_known(tmp_path: Path) -> None:
    image(tmp_path / "set/1.png", 1)
    other = image(tmp_path / "2.png", 2)
    (tmp_path / "set/a.csv").write_text(f"path,id,camera\n{other},7,left\n1.png,8,right\n")
    source = open_source(f"{tmp_path}/set/a.csv")
    assert source.columns["path"].tolist() == [str(other), str(tmp_path / "set/1.png")]
    assert source.columns["id"].tolist() == [7, 8]
    assert source.columns["camera"].tolist() == ["left", "right"]
    assert [int(source.image(row).mean()) for row in range(2)] == [2, 1]


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = image(tmp_path / "1.png", 1)
    source = open_source(str(tmp_path))
    before = source.stamp(0)
    assert before == source.stamp(0) != ""
    os.chmod(path, 0o600)
    assert source.stamp(0) != before
    path.unlink()
    assert source.stamp(0) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "there is no"),
        ("empty", "holds no images"),
        ("notes.txt", "a video needs --detections"),
        ("none.csv", "can't read .*none.csv: No such file"),
    ],
)
def test_what_is_no_source_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=said):
        open_source(str(tmp_path / name))


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    image(tmp_path / "1.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    with pytest.raises(UserError, match=r"udcff.png: file name is not UTF-8"):
        open_source(str(tmp_path))
