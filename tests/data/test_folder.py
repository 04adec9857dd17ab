"""Images of your own: Market-style, folders with and without a split."""

import os
from pathlib import Path

import pytest

from pmm_jax.data import folder
from pmm_jax.errors import UserError
from tests.data.own_set import fatal, notes, rows, write

# (a) Market-style


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
    found = folder.scan(tmp_path, 0.5)
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


# (c) a folder an identity, split given


def test_identity_folders_with_a_split(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1.jpg", "query/b/2.jpg", "gallery/b/3.jpg", "gallery/notes.txt")
    write(tmp_path, "gallery/stray.jpg", "gallery/.cache/x.jpg", "gallery/b/._3.jpg")
    found = folder.scan(tmp_path, 0.5)
    assert rows(found, "train") == [("train/a/1.jpg", "a", -3)]
    assert rows(found, "query") == [("query/b/2.jpg", "b", -2)]
    assert rows(found, "gallery") == [("gallery/b/3.jpg", "b", -1)]
    assert set(notes(found)) == {"gallery/notes.txt", "gallery/stray.jpg", "gallery/b/._3.jpg"}


def test_a_copy_of_the_query_in_the_gallery_keeps_its_number(tmp_path: Path) -> None:
    write(tmp_path, "query/b/2.jpg", "gallery/b/2.jpg", "gallery/b/3.jpg", "gallery/c/2.jpg")
    (tmp_path / "gallery/b/2.jpg").write_bytes((tmp_path / "query/b/2.jpg").read_bytes())
    found = folder.scan(tmp_path, 0.5)
    (query,) = found.splits["query"]
    same = [r.path for r in found.splits["gallery"] if r.camera == query.camera]
    assert same == ["gallery/b/2.jpg"]


def test_market_style_names_inside_identity_folders_give_cameras(tmp_path: Path) -> None:
    write(tmp_path, "query/b/7_c1_0.jpg", "gallery/b/7_c2s1_0.jpg", "train/a/8_c3_1.jpg")
    found = folder.scan(tmp_path, 0.5)
    assert [r.camera for r in found.records()] == [3, 1, 2]
    assert found.names == {0: "a", 1: "b"}


def test_query_without_gallery_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has query images but no gallery images"):
        folder.scan(write(tmp_path, "train/a/1.jpg", "query/b/2.jpg"), 0.5)


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_test_folder_is_divided_into_query_and_gallery(tmp_path: Path, name: str) -> None:
    write(tmp_path, "train/a/1.jpg", f"{name}/b/1.jpg", f"{name}/b/2.jpg", f"{name}/c/1.jpg")
    found = folder.scan(tmp_path, 0.5)
    assert [r.path for r in found.splits["train"]] == ["train/a/1.jpg"]
    assert [r.path for r in found.splits["query"]] == [f"{name}/b/1.jpg"]
    assert [r.path for r in found.splits["gallery"]] == [f"{name}/b/2.jpg", f"{name}/c/1.jpg"]


# (d) just identities


def write_identities(root: Path, count: int, *names: str) -> Path:
    return write(root, *(f"id{i:02d}/{name}" for i in range(count) for name in names))


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.25, 0.5, 0.99, 1.0])
def test_identities_are_divided_by_the_fraction(tmp_path: Path, fraction: float) -> None:
    found = folder.scan(write_identities(tmp_path, 20, "1.jpg", "2.jpg"), fraction)
    train = {r.identity for r in found.splits["train"]}
    test = {r.identity for split in ("query", "gallery") for r in found.splits[split]}
    expected = {0.0: 0, 0.01: 1, 0.25: 5, 0.5: 10, 0.99: 19, 1.0: 20}[fraction]
    assert (len(train), len(test)) == (expected, 20 - expected)
    assert not train & test


def test_the_division_is_fixed_and_not_by_order_of_name(tmp_path: Path) -> None:
    write_identities(tmp_path, 20, "1.jpg", "2.jpg")
    train = {r.identity for r in folder.scan(tmp_path, 0.5).splits["train"]}
    assert train == {r.identity for r in folder.scan(tmp_path, 0.5).splits["train"]}
    assert train not in ({*range(10)}, {*range(10, 20)})


def test_first_image_is_the_query_and_singletons_are_distractors(tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg")
    found = folder.scan(tmp_path, 0.0)
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
    write(tmp_path, *(f"7/7_{name}.jpg" for name in names))
    found = folder.scan(tmp_path, 0.0)
    assert [r.path for r in found.splits["query"]] == [f"7/7_{name}.jpg" for name in queries]
    assert len(found.splits["gallery"]) == len(names) - len(queries)
    assert all(r.camera > 0 for r in found.records())


def test_a_test_set_of_singletons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has gallery images but no query images"):
        folder.scan(write(tmp_path, "a/1.jpg", "b/1.jpg"), 0.0)


def test_one_name_without_a_camera_makes_all_cameras_unknown(tmp_path: Path) -> None:
    found = folder.scan(write(tmp_path, "7/7_c1_1.jpg", "7/7_c2_1.jpg", "7/odd.jpg"), 0.0)
    assert [r.camera for r in found.records()] == [-1, -2, -3]


def test_one_split_without_cameras_makes_those_of_the_others_unknown(tmp_path: Path) -> None:
    """Else a query would be matched with its own camera's images, and figures be too good."""
    write(tmp_path, "train/a/a_c1_1.jpg", "query/b/b_c1_1.jpg", "gallery/b/IMG_1.jpg")
    found = folder.scan(tmp_path, 0.5)
    assert all(r.camera < 0 for split in found.splits.values() for r in split)
    assert "all cameras are ignored" in notes(found)["gallery/b/IMG_1.jpg"]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "bmp", "webp", "JPG", "PnG"])
def test_image_suffixes(tmp_path: Path, suffix: str) -> None:
    found = folder.scan(write(tmp_path, f"a/1.{suffix}", f"a/2.{suffix}", "a/3.gif"), 0.0)
    assert len(list(found.records())) == 2
    assert set(notes(found)) == {"a/3.gif"}


def test_links_out_of_the_folder_are_fatal(tmp_path: Path) -> None:
    write(tmp_path, "out.jpg", "set/a/1.jpg", "set/a/2.jpg")
    os.symlink(tmp_path / "out.jpg", tmp_path / "set/a/3.jpg")
    assert list(fatal(folder.scan(tmp_path / "set", 0.0))) == ["a/3.jpg"]


def test_a_folder_without_images_names_the_forms(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="found no images named like ID/"):
        folder.scan(tmp_path, 0.5)
