"""Names, folders and lists of Market-1501, DukeMTMC-reID and MSMT17."""

import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data.datasets.market1501 import (
    DOUBLE_SUFFIX,
    FOLDERS,
    JUNK_OUTSIDE_GALLERY,
    TOO_LONG,
)
from pmm_jax.data.prepare import prepare
from pmm_jax.data.records import NOT_AN_IMAGE, OTHER_FORMAT, Record, Scan
from pmm_jax.data.split import open_split
from pmm_jax.errors import UserError
from tests.data.own_set import scan

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c6s3_094992_04.jpg"],
    "query": ["0001_c1s1_001051_00.jpg"],
    "bounding_box_test": ["0000_c1s1_000151_01.jpg", "0001_c2s1_000301_00.jpg"],
}


def write(root: Path, files: dict[str, list[str]]) -> Path:
    for folder, names in files.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / name).write_bytes(b"unread")
    return root


def reasons(found: Scan, fatal: bool = False) -> dict[str, str]:
    return {p.path: p.reason for p in found.problems if p.fatal == fatal}


def test_market_names_give_identity_and_camera_in_sorted_order(tmp_path: Path) -> None:
    found = scan("market1501", write(tmp_path, MARKET))
    assert found.splits == {
        "train": [
            Record("bounding_box_train/0002_c1s1_000451_03.jpg", 2, 1),
            Record("bounding_box_train/0007_c6s3_094992_04.jpg", 7, 6),
        ],
        "query": [Record("query/0001_c1s1_001051_00.jpg", 1, 1)],
        "gallery": [
            Record("bounding_box_test/0000_c1s1_000151_01.jpg", 0, 1),
            Record("bounding_box_test/0001_c2s1_000301_00.jpg", 1, 2),
        ],
    }
    assert found.problems == []


def test_junk_is_dropped_silently_and_distractors_stay(tmp_path: Path) -> None:
    write(tmp_path, MARKET)
    write(tmp_path, {"bounding_box_test": ["-1_c1s1_000401_03.jpg", "-1_c4s6_022316_11.jpg.jpg"]})
    found = scan("market1501", tmp_path)
    assert [record.identity for record in found.splits["gallery"]] == [0, 1]
    assert found.problems == []


@pytest.mark.parametrize("folder", ["bounding_box_train", "query"])
def test_junk_outside_the_gallery_is_reported(tmp_path: Path, folder: str) -> None:
    write(tmp_path, MARKET)
    write(tmp_path, {folder: ["-1_c1s1_000401_03.jpg"]})
    found = scan("market1501", tmp_path)
    assert reasons(found) == {f"{folder}/-1_c1s1_000401_03.jpg": JUNK_OUTSIDE_GALLERY}
    assert all(record.identity >= 0 for record in found.records())


def test_files_that_are_no_images_are_skipped_and_reported(tmp_path: Path) -> None:
    write(tmp_path, MARKET)
    write(tmp_path, {"query": ["Thumbs.db", "._0001_c1s1_001051_00.jpg"]})
    found = scan("market1501", tmp_path)
    assert set(reasons(found)) == {"query/Thumbs.db", "query/._0001_c1s1_001051_00.jpg"}
    assert len(found.splits["query"]) == 1


def test_double_suffix_is_used_and_noted(tmp_path: Path) -> None:
    write(tmp_path, MARKET)
    write(tmp_path, {"query": ["1488_c3s3_071344_00.jpg.jpg"]})
    found = scan("market1501", tmp_path)
    assert found.splits["query"][-1].identity == 1488
    assert reasons(found) == {"query/1488_c3s3_071344_00.jpg.jpg": DOUBLE_SUFFIX}


def test_any_image_suffix_in_any_case(tmp_path: Path) -> None:
    names = [f"000{i}_c1s1_000001_00.{s}" for i, s in enumerate(["JPG", "Jpeg", "png", "webp"], 1)]
    write(tmp_path, MARKET | {"query": names})
    assert [r.identity for r in scan("market1501", tmp_path).splits["query"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["0001.jpg", "a001_c1s1_000001_00.jpg", "0001_c1_000001_00.jpg"])
def test_names_that_do_not_parse_are_skipped_and_reported(tmp_path: Path, name: str) -> None:
    write(tmp_path, MARKET)
    write(tmp_path, {"query": [name]})
    found = scan("market1501", tmp_path)
    assert "not like 0002_c1s1_000451_03.jpg" in reasons(found)[f"query/{name}"]
    assert len(found.splits["query"]) == 1


def test_missing_folder_names_the_inner_root(tmp_path: Path) -> None:
    write(tmp_path / "Market-1501-v15.09.15", MARKET)
    with pytest.raises(UserError, match=r"did you mean .*Market-1501-v15\.09\.15\?"):
        scan("market1501", tmp_path)


def test_empty_root_and_empty_folder_name_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no images named like 0002_c1s1_000451_03\.jpg"):
        scan("market1501", tmp_path)
    write(tmp_path, MARKET | {"query": ["Thumbs.db"]})
    with pytest.raises(UserError, match=r"found no images named like .* under .*query"):
        scan("market1501", tmp_path)


def test_links_out_of_the_root_are_fatal(tmp_path: Path) -> None:
    root = write(tmp_path / "set", MARKET)
    outside = write(tmp_path, {"other": ["0009_c1s1_000001_00.jpg"]}) / "other"
    os.symlink(outside / "0009_c1s1_000001_00.jpg", root / "query" / "0009_c1s1_000001_00.jpg")
    inside = root / "bounding_box_test" / "0001_c2s1_000301_00.jpg"
    os.symlink(inside, root / "query" / "0003_c1s1_000001_00.jpg")
    found = scan("market1501", root)
    assert list(reasons(found, fatal=True)) == ["query/0009_c1s1_000001_00.jpg"]
    assert [record.identity for record in found.splits["query"]] == [1, 3]


def test_a_linked_folder_out_of_the_root_is_fatal_but_a_linked_root_is_fine(tmp_path: Path) -> None:
    root = write(tmp_path / "set", MARKET)
    os.symlink(root, tmp_path / "link")
    assert not scan("market1501", tmp_path / "link").problems
    (root / "query").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", root / "query")
    assert list(reasons(scan("market1501", root), fatal=True)) == ["query/0001_c1s1_001051_00.jpg"]


def test_duke_names(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "bounding_box_train": ["0001_c2_f0046182.jpg"],
            "query": ["0005_c2_f0046985.jpg"],
            "bounding_box_test": ["0005_c8_f0053212.jpg", "0002_c1_f0044158.jpg"],
        },
    )
    found = scan("dukemtmc", tmp_path)
    assert found.splits["train"] == [Record("bounding_box_train/0001_c2_f0046182.jpg", 1, 2)]
    assert found.splits["query"] == [Record("query/0005_c2_f0046985.jpg", 5, 2)]
    assert [(r.identity, r.camera) for r in found.splits["gallery"]] == [(2, 1), (5, 8)]
    assert found.problems == []


MSMT17 = {
    "list_train.txt": "0000/0000_000_01_0303morning_0008_0.jpg 0\n",
    "list_val.txt": "0000/0000_001_15_0303morning_0008_1.jpg 0\n",
    "list_query.txt": "0000/0000_003_05_0303noon_0101_2.jpg 0\n",
    "list_gallery.txt": (
        "0000/0000_002_14_0303noon_0018_0.jpg 0\n0001/0001_000_02_0303afternoon_0002_1_ex.jpg 1\n"
    ),
}


def write_msmt17(root: Path, train: str = "train", test: str = "test") -> Path:
    root.mkdir(exist_ok=True)
    for name, text in MSMT17.items():
        (root / name).write_text(text)
        top = train if name in ("list_train.txt", "list_val.txt") else test
        for line in text.splitlines():
            folder, file = line.split()[0].split("/")
            write(root, {f"{top}/{folder}": [file]})
    return root


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_msmt17_lists(tmp_path: Path, train: str, test: str) -> None:
    found = scan("msmt17", write_msmt17(tmp_path, train, test))
    assert found.splits == {
        "train": [
            Record(f"{train}/0000/0000_000_01_0303morning_0008_0.jpg", 0, 1),
            Record(f"{train}/0000/0000_001_15_0303morning_0008_1.jpg", 0, 15),
        ],
        "query": [Record(f"{test}/0000/0000_003_05_0303noon_0101_2.jpg", 0, 5)],
        "gallery": [
            Record(f"{test}/0000/0000_002_14_0303noon_0018_0.jpg", 0, 14),
            Record(f"{test}/0001/0001_000_02_0303afternoon_0002_1_ex.jpg", 1, 2),
        ],
    }
    assert found.problems == []


def test_msmt17_is_prepared(tmp_path: Path) -> None:
    root = write_msmt17(tmp_path / "msmt")
    for shade, file in enumerate(root.rglob("*.jpg")):
        Image.new("RGB", (6, 9), (40 * shade, 0, 0)).save(file)
    config = DataConfig(name="msmt17", root=str(root), cache_dir=str(tmp_path / "prepared"))
    prepare(config)
    assert open_split(config, "train").cameras.tolist() == [1, 15]


def test_msmt17_bad_lines_and_escapes(tmp_path: Path) -> None:
    write_msmt17(tmp_path)
    with open(tmp_path / "list_query.txt", "a") as file:
        file.write("nonsense\n\n../../0000_000_01_0303morning_0008_0.jpg 7\n")
    found = scan("msmt17", tmp_path)
    assert list(reasons(found)) == ["list_query.txt:2"]
    assert list(reasons(found, fatal=True)) == ["test/../../0000_000_01_0303morning_0008_0.jpg"]
    assert len(found.splits["query"]) == 1


def test_msmt17_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither train and test nor mask_train_v2"):
        scan("msmt17", tmp_path)
    (write_msmt17(tmp_path) / "list_val.txt").unlink()
    with pytest.raises(UserError, match=r"no list_val\.txt"):
        scan("msmt17", tmp_path)


# Numbers and names that are not what they should be


@pytest.mark.parametrize(
    "name", [f"{'9' * 20}_c1s1_000001_00.jpg", f"0001_c{'9' * 5000}s1_000001_00.jpg"]
)
def test_numbers_beyond_64_bits_are_fatal(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, MARKET)
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), name])
    found = scan("market1501", tmp_path)
    assert reasons(found, fatal=True)[f"query/{name}"] == TOO_LONG


def test_msmt17_lists_with_odd_numbers_and_bytes(tmp_path: Path) -> None:
    write_msmt17(tmp_path)
    query = tmp_path / "list_query.txt"
    line = query.read_text().split()[0]
    query.write_text(f"{line} 0\n{line} {'9' * 5000}\n{line} \u00b2\n")
    found = scan("msmt17", tmp_path)
    assert reasons(found, fatal=True) == {"list_query.txt:2": TOO_LONG}
    assert list(reasons(found)) == ["list_query.txt:3"]
    query.write_bytes(f"{line} 0\n0000/0000_000_01_\0.jpg 0\n".encode())
    assert "NUL" in next(iter(reasons(scan("msmt17", tmp_path), fatal=True).values()))
    query.write_bytes(b"\n\xff\n")
    with pytest.raises(UserError, match=r"list_query\.txt:2 is not UTF-8"):
        scan("msmt17", tmp_path)


def test_a_folder_without_a_fitting_name_says_what_it_holds(tmp_path: Path) -> None:
    names = [f"000{i}_c1_{i}.png" for i in range(5)]
    write(tmp_path, MARKET | {"bounding_box_train": names})
    with pytest.raises(UserError) as raised:
        scan("market1501", tmp_path)
    message = str(raised.value)
    assert "5 x name is not like 0002_c1s1_000451_03.jpg" in message
    assert "bounding_box_train/0000_c1_0.png" in message
    assert message.endswith("data.name folder reads names like 0002_c1_anything.jpg")


def test_an_empty_folder_and_one_in_capitals_are_named(tmp_path: Path) -> None:
    write(tmp_path, MARKET | {"query": []})
    with pytest.raises(UserError, match="query, which is empty"):
        scan("market1501", tmp_path)
    (tmp_path / "query").rename(tmp_path / "Query")
    with pytest.raises(UserError, match="no folder query; rename Query to query"):
        scan("market1501", tmp_path)


def test_images_of_other_formats_are_told_from_other_files(tmp_path: Path) -> None:
    write(tmp_path, MARKET)
    write(tmp_path, {"query": ["0001_c1s1_001051_00.tif", "._0001.tif", "a.txt"]})
    assert reasons(scan("market1501", tmp_path)) == {
        "query/0001_c1s1_001051_00.tif": OTHER_FORMAT,
        "query/._0001.tif": NOT_AN_IMAGE,
        "query/a.txt": NOT_AN_IMAGE,
    }


@pytest.mark.real_data
def test_market1501_as_published() -> None:
    root = os.environ.get("PMM_MARKET1501")
    if not root:
        pytest.skip("PMM_MARKET1501 does not name a folder with Market-1501")
    found = scan("market1501", Path(root))
    counts = {
        split: (
            len(records),
            len({record.identity for record in records}),
            len({record.camera for record in records}),
        )
        for split, records in found.splits.items()
    }
    assert counts == {"train": (12936, 751, 6), "query": (3368, 750, 6), "gallery": (15913, 751, 6)}
    assert 0 in {record.identity for record in found.splits["gallery"]}
    # Two of the set's 24 names in .jpg.jpg belong to identity -1, which is not used.
    assert Counter(problem.reason for problem in found.problems) == {
        "not an image, skipped": 3,
        DOUBLE_SUFFIX: 22,
    }
    assert {p.path for p in found.problems if p.path.endswith("Thumbs.db")} == {
        f"{folder}/Thumbs.db" for folder in FOLDERS.values()
    }
    assert not any(problem.fatal for problem in found.problems)
