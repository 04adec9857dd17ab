"""What is refused, noted and summed up before and after a set is prepared."""

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pmm_jax.config import DataConfig
from pmm_jax.data.datasets import get_dataset
from pmm_jax.data.datasets.market1501 import Market1501
from pmm_jax.data.prepare import prepare
from pmm_jax.data.records import Record, Scan
from pmm_jax.data.split import open_split, prepared_folder
from pmm_jax.data.verify import IN_BOTH, NO_MATCH, SHOWN, shared_identities
from pmm_jax.errors import UserError
from tests.data.market_set import MARKET, draw, lines_of, refused
from tests.data.own_set import scan


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

    monkeypatch.setattr(os, "listdir", refuse)
    assert refused(market)[0] == (
        f"can't read {market.root}/bounding_box_train (Permission denied); check data.root and its "
        "permissions"
    )


def test_listed_files_must_exist(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 0)
    (tmp_path / "set.csv").write_text("path,id,split\na.jpg,x,query\nb.jpg,x,gallery\n")
    config = DataConfig(
        name="folder", root=str(tmp_path / "set.csv"), cache_dir=str(tmp_path / "prepared")
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


def own_set(root: Path, *folders: str, people: int = 4, shots: int = 3) -> DataConfig:
    """Folders of identities; no image is another's copy."""
    for folder in folders or ("",):
        for person in range(people):
            for shot in range(shots):
                draw(root / folder / f"id{person}" / f"{folder}{shot}.png", person)
    return DataConfig(name="folder", root=str(root), cache_dir=str(root.parent / "prepared"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.touch, "can't be decoded"),
        (lambda file: file.symlink_to("nowhere"), "link to a file that isn't"),
        (os.mkfifo, "is a pipe"),
    ],
    ids=["empty", "dangling", "pipe"],
)
def test_a_kind_of_errors_is_one_line_with_three_examples(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    config = own_set(tmp_path / "set")
    for file in sorted((tmp_path / "set").glob("id*/[12].png")):
        file.unlink()
        damage(file)
    message, lines = refused(config)
    assert message.startswith("8 x ")
    assert said in message
    assert message.count(".png") == 3
    listed = prepared_folder(config).with_suffix(".notes.txt")
    assert f"(all in {listed})" in message
    assert len(listed.read_text().splitlines()) == 8
    assert not [line for line in lines if line.startswith("error")]


def test_several_kinds_of_errors_are_several_lines(tmp_path: Path) -> None:
    config = own_set(tmp_path / "set")
    (tmp_path / "set/id1/0.png").write_bytes(b"")
    (tmp_path / "set/id2/0.png").unlink()
    (tmp_path / "set/id2/0.png").symlink_to("nowhere")
    message, lines = refused(config)
    assert message.endswith("(and 1 other kinds of errors, listed above)")
    assert len([line for line in lines if line.startswith("error: ")]) == 1


def test_links_out_of_the_root_are_told_where_a_list_could_lie(tmp_path: Path) -> None:
    config = own_set(tmp_path / "set")
    (tmp_path / "links").mkdir()
    for folder in (tmp_path / "set").iterdir():
        os.symlink(folder, tmp_path / "links" / folder.name)
    message, _ = refused(replace(config, root=str(tmp_path / "links")))
    assert message.startswith("12 x leads out of the data set's folder: id0/")
    assert f"or list them in a CSV file in {tmp_path}, which holds them all" in message
    assert "copy" not in message


def test_permission_is_told_from_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    config = own_set(tmp_path / "set")
    monkeypatch.setattr("pmm_jax.data.datasets.dataset.read_image", deny)
    message = refused(config)[0]
    assert "12 x can't be read (permission denied)" in message
    assert "make it readable" in message


def test_names_can_not_forge_lines_or_move_the_cursor(tmp_path: Path) -> None:
    config = own_set(tmp_path / "set")
    (tmp_path / "set/id1").rename(tmp_path / "set/\x1b[2Jid1\nerror: all is lost")
    (tmp_path / "set/id2/a\nerror: b.txt").touch()
    lines = lines_of(config)
    assert "  id2/a\\nerror: b.txt" in lines
    assert not [line for line in lines if "\n" in line or "\x1b" in line]
    listed = prepared_folder(config).with_suffix(".notes.txt").read_text()
    assert listed.splitlines() == ["id2/a\\nerror: b.txt: not an image, skipped"]


# Train and test


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_a_file_of_train_in_the_test_is_refused_unless_allowed(tmp_path: Path, split: str) -> None:
    config = own_set(tmp_path / "set", "train", "query", "gallery")
    copy = tmp_path / "set" / split / "id3" / "copy.png"
    copy.write_bytes((tmp_path / "set/train/id0/train0.png").read_bytes())
    message, _ = refused(config)
    assert message.startswith(f"train/id0/train0.png: {IN_BOTH} ({split}/id3/copy.png); ")
    assert "--data.allow-duplicates" in message
    allowed = replace(config, allow_duplicates=True)
    assert f"note: 1 x {IN_BOTH}:" in lines_of(allowed)
    # What was allowed once is not allowed for ever.
    assert IN_BOTH in refused(config)[0]


def test_one_file_in_query_and_gallery_or_twice_in_train_is_fine(tmp_path: Path) -> None:
    config = own_set(tmp_path / "set", "train", "query", "gallery")
    for split, other in (("query", "gallery"), ("train", "train")):
        source = tmp_path / "set" / split / "id0" / f"{split}0.png"
        (tmp_path / "set" / other / "id0" / "copy.png").write_bytes(source.read_bytes())
    assert not [line for line in lines_of(config) if IN_BOTH in line]


def test_a_set_as_published_is_not_refused(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(monkeypatch)
    train = Path(market.root) / "bounding_box_train" / MARKET["bounding_box_train"][0]
    query = Path(market.root) / "query" / MARKET["query"][0]
    query.write_bytes(train.read_bytes())
    assert f"note: 1 x {IN_BOTH}:" in lines_of(market)


def test_identities_of_train_in_the_test_are_a_warning_every_time(tmp_path: Path) -> None:
    config = own_set(tmp_path / "set", "train", "query", "gallery")
    warning = (
        "warning: 4 identities are in train and in query or gallery, too (id0, id1, id2, ...); "
        "figures tell how well known individuals are found, not new ones"
    )
    assert lines_of(config)[-1] == warning
    brief: list[str] = []
    prepare(config, brief.append, brief=True)
    assert brief[1:] == [warning]


def test_numbers_that_name_nobody_are_not_shared(tmp_path: Path) -> None:
    one = [Record("a.jpg", 1, 1), Record("b.jpg", 0, 1)]
    found = Scan({"train": one, "query": one[1:], "gallery": one})
    market, msmt17, own = (
        get_dataset(DataConfig(name=name)) for name in ("market1501", "msmt17", "folder")
    )
    assert shared_identities(market, found) == ["1"]
    assert shared_identities(msmt17, found) == []
    assert shared_identities(own, replace(found, names={0: "0000"})) == ["0000", "1"]


def test_a_gallery_of_one_identity_is_a_warning(tmp_path: Path) -> None:
    config = own_set(tmp_path / "set", people=2)
    assert "warning: the gallery holds one identity only, so every figure will be 100 %" in (
        lines_of(config)
    )


# Can it be evaluated, and is it what was published


@pytest.mark.parametrize("own", [False, True])
def test_one_camera_is_enough_where_cameras_do_not_count(market: DataConfig, own: bool) -> None:
    (Path(market.root) / "bounding_box_test" / "0001_c2s1_000301_00.jpg").unlink()
    config = replace(market, name="folder") if own else market
    message, _ = refused(config)
    assert "--evaluate.no-cameras" in message
    assert "--data.cameras ignore" in message
    ignored = replace(config, cameras="ignore")
    assert prepare(ignored) != prepare(config, same_camera_rule=False)
    assert (open_split(ignored, "query").cameras < 0).all()
    assert (open_split(config, "query").cameras == 1).all()
    # Prepared for the one protocol, it is not thereby fit for the other.
    with pytest.raises(UserError, match="match in another camera"):
        prepare(config, brief=True)


def test_without_cameras_a_query_is_not_its_own_match(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 0)
    (tmp_path / "set.csv").write_text("path,id,camera,split\na.jpg,x,1,query\na.jpg,x,1,gallery\n")
    config = DataConfig(
        name="folder",
        root=str(tmp_path / "set.csv"),
        cache_dir=str(tmp_path / "prepared"),
        cameras="ignore",
    )
    assert "than the query itself" in refused(config)[0]
    with pytest.raises(UserError, match="than the query itself"):
        prepare(config, same_camera_rule=False)


def test_cameras_ignored_are_unknown_and_unique_to_the_image(market: DataConfig) -> None:
    found = scan("market1501", Path(market.root), cameras="ignore")
    cameras = [record.camera for record in found.records()]
    assert sorted(cameras) == list(range(-len(cameras), 0))
    assert not found.camera_names


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
        name="folder", root=str(tmp_path / "set.csv"), cache_dir=str(tmp_path / "prepared")
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


def _publish(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Market-1501 were the few images of the tests."""
    counts = {"train": (2, 2, 2), "query": (1, 1, 1), "gallery": (3, 2, 2)}
    some = Market1501.published["train"]
    for split, (images, identities, cameras) in counts.items():
        there = replace(some, images=images, identities=identities, cameras=cameras)
        monkeypatch.setitem(Market1501.published, split, there)


def test_counts_as_published_are_the_same(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(monkeypatch)
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
        name="dukemtmc", root=str(tmp_path / "duke"), cache_dir=str(tmp_path / "prepared")
    )
    prepare(config)
    assert open_split(config, "gallery").cameras.tolist() == [8]


def test_folder_without_a_split_or_training_images(tmp_path: Path) -> None:
    for i, name in enumerate(["ann/1.png", "ann/2.png", "bob/1.png"]):
        draw(tmp_path / "own" / name, i)
    config = DataConfig(
        name="folder",
        root=str(tmp_path / "own"),
        cache_dir=str(tmp_path / "prepared"),
        train_fraction=0.0,
    )
    lines = lines_of(config)
    assert lines[-1].split() == ["gallery", "2", "2", "unknown", "-"]
    gallery = open_split(config, "gallery")
    assert [gallery.names[i] for i in gallery.identities] == ["ann", "bob"]
    with pytest.raises(UserError, match="has no train images"):
        open_split(config, "train")
