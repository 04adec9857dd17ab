"""Images of your own: Market-style, folders with and without a split."""

import os
from pathlib import Path

import pytest

from pmm_jax.data.records import NOT_AN_IMAGE, OTHER_FORMAT
from pmm_jax.errors import UserError
from tests.data.own_set import fatal, notes, rows, scan_folder, write

# Market-1501's folders and names


def test_market_style(tmp_path: Path) -> None:
    write(
        tmp_path,
        "bounding_box_train/ann_c1_1.jpg",
        "query/0007_c2s3_x.PNG",
        "bounding_box_test/0007_c10_x.bmp",
        "bounding_box_test/-1_c1_x.jpg",
        "bounding_box_test/0000_c1_x.webp",
        "bounding_box_test/lost.jpg",
        "bounding_box_test/Thumbs.db",
        "query/-1_c1_x.jpg",
    )
    found = scan_folder(tmp_path, 0.5)
    assert rows(found, "train") == [("bounding_box_train/ann_c1_1.jpg", "ann", 1)]
    assert rows(found, "query") == [("query/0007_c2s3_x.PNG", "0007", 2)]
    assert rows(found, "gallery") == [
        ("bounding_box_test/0000_c1_x.webp", "0000", 1),
        ("bounding_box_test/0007_c10_x.bmp", "0007", 10),
    ]
    assert found.names == {0: "0000", 1: "0007", 2: "ann"}
    assert set(notes(found)) == {
        "bounding_box_test/lost.jpg",
        "bounding_box_test/Thumbs.db",
        "query/-1_c1_x.jpg",
    }


# A folder an identity, split given


def test_identity_folders_with_a_split(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1.jpg", "query/b/2.jpg", "gallery/b/3.jpg", "gallery/notes.txt")
    write(tmp_path, "gallery/stray.jpg", "gallery/.cache/x.jpg", "gallery/b/._3.jpg")
    write(tmp_path, "gallery/b/4.jpg", "gallery/b/5.jpg")
    found = scan_folder(tmp_path, 0.5)
    assert rows(found, "train") == [("train/a/1.jpg", "a", -5)]
    assert rows(found, "query") == [("query/b/2.jpg", "b", -4)]
    assert rows(found, "gallery") == [(f"gallery/b/{i}.jpg", "b", 2 - i) for i in (3, 4, 5)]
    assert set(notes(found)) == {"gallery/notes.txt", "gallery/stray.jpg", "gallery/b/._3.jpg"}


def test_a_copy_of_the_query_in_the_gallery_keeps_its_number(tmp_path: Path) -> None:
    write(tmp_path, "query/b/2.jpg", "gallery/b/2.jpg", "gallery/b/3.jpg", "gallery/c/2.jpg")
    (tmp_path / "gallery/b/2.jpg").write_bytes((tmp_path / "query/b/2.jpg").read_bytes())
    found = scan_folder(tmp_path, 0.5)
    (query,) = found.splits["query"]
    same = [r.path for r in found.splits["gallery"] if r.camera == query.camera]
    assert same == ["gallery/b/2.jpg"]


def test_market_style_names_inside_identity_folders_give_cameras(tmp_path: Path) -> None:
    write(tmp_path, "query/b/7_c1_0.jpg", "gallery/b/7_c2s1_0.jpg", "train/a/8_c3_1.jpg")
    found = scan_folder(tmp_path, 0.5)
    assert [r.camera for r in found.records()] == [3, 1, 2]
    assert found.names == {0: "a", 1: "b"}


def test_query_without_gallery_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has query images but no gallery images"):
        scan_folder(write(tmp_path, "train/a/1.jpg", "query/b/2.jpg"), 0.5)


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_test_folder_is_divided_into_query_and_gallery(tmp_path: Path, name: str) -> None:
    write(tmp_path, "train/a/1.jpg", f"{name}/b/1.jpg", f"{name}/b/2.jpg", f"{name}/c/1.jpg")
    found = scan_folder(tmp_path, 0.5)
    assert [r.path for r in found.splits["train"]] == ["train/a/1.jpg"]
    assert [r.path for r in found.splits["query"]] == [f"{name}/b/1.jpg"]
    assert [r.path for r in found.splits["gallery"]] == [f"{name}/b/2.jpg", f"{name}/c/1.jpg"]


# Just identities


def test_first_image_is_the_query_and_singletons_are_distractors(tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg")
    found = scan_folder(tmp_path, 0.0)
    assert [r.path for r in found.splits["query"]] == ["a/1.jpg"]
    assert [r.path for r in found.splits["gallery"]] == ["a/2.jpg", "a/3.jpg", "b/1.jpg"]
    assert len({r.camera for r in found.records()}) == 4


@pytest.mark.parametrize(
    ("names", "queries"),
    [
        (["c1_1", "c1_2", "c2_1", "c2_2"], ["c1_1", "c2_1"]),
        (["c1_1", "c1_2", "c2_1"], ["c1_1"]),
        (["c1_1", "c2_1", "c3_1"], ["c1_1"]),
    ],
)
def test_first_image_of_each_camera_is_a_query(
    tmp_path: Path, names: list[str], queries: list[str]
) -> None:
    write(tmp_path, *(f"7/7_{name}.jpg" for name in names), "8/8_c1_1.jpg")
    found = scan_folder(tmp_path, 0.0)
    assert [r.path for r in found.splits["query"]] == [f"7/7_{name}.jpg" for name in queries]
    assert len(found.splits["gallery"]) == len(names) - len(queries) + 1
    assert all(r.camera > 0 for r in found.records())


def test_a_test_set_of_singletons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has gallery images but no query images"):
        scan_folder(write(tmp_path, "a/1.jpg", "b/1.jpg"), 0.0)


def test_one_name_without_a_camera_makes_all_cameras_unknown(tmp_path: Path) -> None:
    write(tmp_path, "7/7_c1_1.jpg", "7/7_c2_1.jpg", "7/odd.jpg", "8/8_c1_1.jpg")
    found = scan_folder(tmp_path, 0.0)
    assert [r.camera for r in found.records()] == [-1, -2, -3, -4]


def test_one_split_without_cameras_makes_those_of_the_others_unknown(tmp_path: Path) -> None:
    """Else a query would be matched with its own camera's images, and figures be too good."""
    write(tmp_path, "train/a/a_c1_1.jpg", "query/b/b_c1_1.jpg", "gallery/b/IMG_1.jpg")
    found = scan_folder(tmp_path, 0.5)
    assert all(r.camera < 0 for split in found.splits.values() for r in split)
    assert "all cameras are ignored" in notes(found)["gallery/b/IMG_1.jpg"]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "bmp", "webp", "JPG", "PnG"])
def test_image_suffixes(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a/1.{suffix}", f"a/2.{suffix}", f"b/1.{suffix}", "a/3.gif", "a/4.txt")
    found = scan_folder(tmp_path, 0.0)
    assert len(list(found.records())) == 3
    assert notes(found) == {"a/3.gif": OTHER_FORMAT, "a/4.txt": NOT_AN_IMAGE}


def test_links_out_of_the_folder_are_fatal(tmp_path: Path) -> None:
    write(tmp_path, "out.jpg", "set/a/1.jpg", "set/a/2.jpg", "set/b/1.jpg")
    os.symlink(tmp_path / "out.jpg", tmp_path / "set/a/3.jpg")
    assert list(fatal(scan_folder(tmp_path / "set", 0.0))) == ["a/3.jpg"]


def test_a_folder_without_images_names_the_forms(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"found no images \(\.jpg, .* a folder an identity"):
        scan_folder(tmp_path, 0.5)
