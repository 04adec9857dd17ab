"""What is refused, noted and summed up before and after a set is prepared."""

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pmm_jax.config import DataConfig
from pmm_jax.data import layouts
from pmm_jax.data.prepare import prepare
from pmm_jax.data.published import PUBLISHED
from pmm_jax.data.split import open_split, prepared_folder
from pmm_jax.data.verify import NO_MATCH, SHOWN
from pmm_jax.errors import UserError
from tests.data.market_set import MARKET, draw, lines_of, refused


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_corrupt_images_are_fatal_and_named(market: DataConfig, damage: str) -> None:
    names = [f"bounding_box_train/{name}" for name in MARKET["bounding_box_train"]]
    for name in names:
        file = Path(market.root) / name
        content = file.read_bytes()
        damaged = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"not found"}
        file.write_bytes(damaged[damage])
    message, lines = refused(market)
    assert message.startswith(f"2 x can't be decoded: {names[0]} (")
    assert f", {names[1]} (" in message
    assert "BytesIO" not in message
    assert not [line for line in lines if line.startswith("error: ")]


def test_junk_is_not_even_verified(market: DataConfig) -> None:
    (Path(market.root) / "bounding_box_test" / MARKET["bounding_box_test"][0]).write_bytes(b"")
    prepare(market)


def test_notes_list_every_file_by_kind(market: DataConfig) -> None:
    for folder in MARKET:
        (Path(market.root) / folder / "Thumbs.db").touch()
    draw(Path(market.root) / "query" / "0001_c3s3_071344_00.jpg.jpg", 0)
    lines = lines_of(market)
    first = lines.index("note: 3 x not an image, skipped:")
    assert lines[first + 1 : first + 4] == [f"  {folder}/Thumbs.db" for folder in MARKET]
    first = lines.index("note: 1 x name ends in .jpg.jpg, used as it is:")
    assert lines[first + 1] == "  query/0001_c3s3_071344_00.jpg.jpg"


def test_a_long_list_goes_on_in_a_file(market: DataConfig) -> None:
    for i in range(SHOWN + 2):
        (Path(market.root) / "query" / f"{i:02}.txt").touch()
    lines = lines_of(market)
    notes = prepared_folder(market).with_suffix(".notes.txt")
    assert f"  and 2 more, listed in {notes}" in lines
    listed = notes.read_text().splitlines()
    assert listed == [f"query/{i:02}.txt: not an image, skipped" for i in range(SHOWN + 2)]


def test_a_refused_set_has_its_whole_list(market: DataConfig) -> None:
    """Unreadable and misnamed files stand in one list, also where nothing is prepared."""
    for i in range(SHOWN + 2):
        (Path(market.root) / "query" / f"{i:02}.txt").touch()
    (Path(market.root) / "query" / MARKET["query"][0]).write_bytes(b"")
    _, lines = refused(market)
    notes = prepared_folder(market).with_suffix(".notes.txt")
    assert f"  and 2 more, listed in {notes}" in lines
    listed = notes.read_text().splitlines()
    assert len(listed) == SHOWN + 3
    assert "can't be decoded" in listed[-1]


def test_queries_without_a_match_are_noted(market: DataConfig) -> None:
    draw(Path(market.root) / "query" / "1488_c3s3_071344_00.jpg", 0)
    lines = lines_of(market)
    first = lines.index(f"note: 1 x {NO_MATCH}:")
    assert lines[first + 1] == "  query/1488_c3s3_071344_00.jpg"


def test_a_folder_that_can_not_be_read_is_named(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(layouts.os, "listdir", refuse)
    assert refused(market)[0] == (
        f"can't read {market.root}/bounding_box_train (Permission denied); check data.root and its "
        "permissions"
    )


def test_listed_files_must_exist(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 0)
    (tmp_path / "set.csv").write_text("path,id,split\na.jpg,x,query\nb.jpg,x,gallery\n")
    config = DataConfig(
        name="folder", root=str(tmp_path / "set.csv"), prepared=str(tmp_path / "prepared")
    )
    assert refused(config)[0].startswith("b.jpg: no such image")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS forbids such names itself")
def test_names_that_are_not_utf8_are_named(market: DataConfig) -> None:
    file = os.path.join(os.fsencode(market.root), b"query", b"0009_c1s1_0_0.\xff.jpg")
    Path(market.root, "query", MARKET["query"][0]).rename(os.fsdecode(file))
    config = replace(market, name="folder")
    draw(Path(market.root) / "query" / "0001_c1s1_000001_00.jpg", 0)
    message, lines = refused(config)
    assert "file name is not UTF-8" in message
    "\n".join(lines).encode()


# Can it be evaluated, and is it what was published


def test_set_seen_by_one_camera_is_refused_with_an_example(market: DataConfig) -> None:
    (Path(market.root) / "bounding_box_test" / "0001_c2s1_000301_00.jpg").unlink()
    message, _ = refused(market)
    assert "match in another camera (identity 1 is only in camera 1)" in message


def test_one_query_with_a_match_is_enough(market: DataConfig) -> None:
    draw(Path(market.root) / "query" / "0000_c1s1_000001_00.jpg", 0)
    prepare(market)


def test_queries_absent_from_the_gallery_are_refused(market: DataConfig) -> None:
    for name in MARKET["bounding_box_test"][2:]:
        (Path(market.root) / "bounding_box_test" / name).unlink()
    assert "has its identity in the gallery (identity 1, for one)" in refused(market)[0]


def test_gallery_of_the_queries_themselves_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 0)
    (tmp_path / "set.csv").write_text("path,id,split\na.jpg,ann,query\na.jpg,ann,gallery\n")
    config = DataConfig(
        name="folder", root=str(tmp_path / "set.csv"), prepared=str(tmp_path / "prepared")
    )
    message, _ = refused(config)
    assert "than the query itself (identity ann, for one)" in message


def test_summary_shows_counts_beside_the_published_and_warns(market: DataConfig) -> None:
    lines = lines_of(market)
    table = [" ".join(line.split()) for line in lines[-5:-1]]
    assert table == [
        "split images identities cameras published",
        "train 2 2 2 12,936 / 751 / 6",
        "query 1 1 1 3,368 / 750 / 6",
        "gallery 3 2 2 15,913 / 751 / 6",
    ]
    assert lines[-1].startswith("warning: train, query, gallery of")


def test_counts_as_published_are_the_same(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"train": (2, 2, 2), "query": (1, 1, 1), "gallery": (3, 2, 2)}
    some = PUBLISHED["market1501"]["train"]
    for split, (images, identities, cameras) in counts.items():
        there = replace(some, images=images, identities=identities, cameras=cameras)
        monkeypatch.setitem(PUBLISHED["market1501"], split, there)
    lines = lines_of(market)
    assert [line.split()[-1] for line in lines[-3:]] == ["same"] * 3


def test_synthetic_set_is_not_compared(market: DataConfig) -> None:
    (Path(market.root) / "synthetic.json").write_text("{}")
    lines = lines_of(market)
    assert [line.split()[-1] for line in lines[-3:]] == ["-"] * 3
    assert not any("warning" in line for line in lines)


# The other sets, end to end


def test_dukemtmc_end_to_end(tmp_path: Path) -> None:
    for i, name in enumerate(
        [
            "bounding_box_train/0001_c2_f0046182.jpg",
            "query/0005_c2_f0046985.jpg",
            "bounding_box_test/0005_c8_f0053212.jpg",
        ]
    ):
        draw(tmp_path / "duke" / name, i)
    config = DataConfig(
        name="dukemtmc", root=str(tmp_path / "duke"), prepared=str(tmp_path / "prepared")
    )
    prepare(config)
    assert open_split(config, "gallery").cameras.tolist() == [8]


def test_folder_without_a_split_or_training_images(tmp_path: Path) -> None:
    for i, name in enumerate(["ann/1.png", "ann/2.png", "bob/1.png"]):
        draw(tmp_path / "own" / name, i)
    config = DataConfig(
        name="folder",
        root=str(tmp_path / "own"),
        prepared=str(tmp_path / "prepared"),
        train_fraction=0.0,
    )
    lines = lines_of(config)
    assert lines[-1].split() == ["gallery", "2", "2", "unknown", "-"]
    gallery = open_split(config, "gallery")
    assert [gallery.names[i] for i in gallery.identities] == ["ann", "bob"]
    with pytest.raises(UserError, match="has no train images"):
        open_split(config, "train")
