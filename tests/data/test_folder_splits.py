"""Folders that are splits, by their names."""

from pathlib import Path

import pytest

from pmm_jax.data.datasets.folder.splits import NOT_READ
from pmm_jax.errors import UserError
from tests.data.own_set import notes, rows, scan_folder, write


def write_splits(root: Path, *folders: str) -> Path:
    """Each folder with two images of four identities."""
    return write(root, *(f"{f}/id{p}/{f}{n}.jpg" for f in folders for p in range(4) for n in "ab"))


@pytest.mark.parametrize(
    ("train", "query", "gallery"),
    [
        ("train", "query", "gallery"),
        ("Train", "Query", "Gallery"),
        ("TRAIN", "QUERY", "TEST"),
        ("training", "probe", "gallery"),
        ("train", "queries", "val"),
        ("image_train", "image_query", "image_test"),
        ("Bounding_Box_Train", "query", "bounding_box_test"),
    ],
)
def test_names_of_splits(tmp_path: Path, train: str, query: str, gallery: str) -> None:
    found = scan_folder(write_splits(tmp_path, train, query, gallery), 0.5)
    folders = {
        split: {record.path.split("/")[0] for record in records}
        for split, records in found.splits.items()
    }
    assert folders == {"train": {train}, "query": {query}, "gallery": {gallery}}
    assert not notes(found)


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "VAL"), ("train", "testing")])
def test_a_test_folder_is_divided(tmp_path: Path, names: tuple[str, str]) -> None:
    found = scan_folder(write_splits(tmp_path, *names), 0.5)
    assert [len(found.splits[s]) for s in ("train", "query", "gallery")] == [8, 4, 4]


def test_folders_beside_the_splits_are_noted(tmp_path: Path) -> None:
    """As in the layout of a well-known baseline: val and train_all repeat train's identities."""
    write_splits(tmp_path, "train", "train_all", "val", "query", "gallery", "multi-query")
    found = scan_folder(tmp_path, 0.5)
    assert notes(found) == dict.fromkeys(("train_all", "val", "multi-query"), NOT_READ)
    assert [len(found.splits[s]) for s in ("train", "query", "gallery")] == [8, 8, 8]
    (tmp_path / "other").mkdir()
    write_splits(tmp_path / "other", "train", "test", "val")
    assert set(notes(scan_folder(tmp_path / "other", 0.5))) == {"val"}


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("train", "Train", "test"), "two folders for train, Train and train"),
        (("gallery", "bounding_box_test", "query"), "two folders for gallery"),
        (("gallery", "test"), "folders gallery and test but none of queries"),
        (("train", "gallery"), "gallery images but no query images"),
        (("train", "query"), "query images but no gallery images"),
        (("train", "ann", "bob"), "a folder train, named like a split, beside ann, bob"),
        (("Val", "ann", "bob"), "a folder Val, named like a split, beside ann, bob"),
    ],
)
def test_folders_that_make_up_no_set_are_refused(
    tmp_path: Path, folders: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        scan_folder(write_splits(tmp_path, *folders), 0.5)


def test_what_was_left_out_is_told_where_a_split_is_empty(tmp_path: Path) -> None:
    write_splits(tmp_path, "train", "query")
    write(tmp_path, "gallery/id1/a.tif", "gallery/id1/b.tif")
    with pytest.raises(UserError, match=r"no gallery images; .*2 x in a format .*id1/a\.tif"):
        scan_folder(tmp_path, 0.5)


def test_images_named_by_identity_and_camera_in_folders_of_any_case(tmp_path: Path) -> None:
    write(tmp_path, "Train/1_c1_0.jpg", "Query/2_c1_0.jpg", "Gallery/2_c3_0.jpg")
    found = scan_folder(tmp_path, 0.5)
    assert rows(found, "gallery") == [("Gallery/2_c3_0.jpg", "2", 3)]
