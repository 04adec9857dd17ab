"""Checksums of a prepared form: no flipped bit gets past them."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.config import DataConfig
from pmm_jax.data import index
from pmm_jax.data.index import INDEX, Columns, DamagedError, Index, read_index, write_index
from pmm_jax.data.loading import ordered_batches
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import open_split
from pmm_jax.errors import UserError
from tests.data.market_set import lines_of

SMALL = Index(
    dataset="folder",
    root="/sets/ünï\udcff",
    stamp="s",
    fingerprint="f",
    records="folder/1.0.0",
    files={"a.json": [3, 2**32 - 1]},
    names={0: "Åsa", 7: "Bo"},
    notes=[["a.jpg", "odd", "", ""]],
    splits={"train": Columns([7, 0], [-1, 10**18], ["a.jpg", "b.jpg"], [0, 5])},
)


def flip(file: Path, position: int, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1 << bit
    file.write_bytes(content)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_index(tmp_path) is None
    assert read_index(tmp_path / "none" / "there") is None
    write_index(tmp_path, SMALL)
    assert read_index(tmp_path) == SMALL
    assert json.loads((tmp_path / INDEX).read_text())["splits"]["train"]["identities"] == [7, 0]


def test_every_bit_of_the_index_counts(tmp_path: Path) -> None:
    write_index(tmp_path, SMALL)
    whole = (tmp_path / INDEX).read_bytes()
    for position in (*range(90), *range(90, len(whole), 3)):
        flip(tmp_path / INDEX, position, position % 8)
        with pytest.raises(DamagedError, match="its checksum is another"):
            read_index(tmp_path)
        (tmp_path / INDEX).write_bytes(whole)
    for cut in (0, 1, 20, 80, len(whole) - 1):
        (tmp_path / INDEX).write_bytes(whole[:cut])
        with pytest.raises(DamagedError):
            read_index(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "3", '"text"', "{}", '{"splits": []}', "\ufeff{}", "[" * 100_000],
)
def test_any_other_json_is_one_line(market: DataConfig, content: str) -> None:
    target = prepare(market)
    (target / INDEX).write_text(content)
    with pytest.raises(DamagedError) as caught:
        open_split(market, "train")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{target / INDEX} is damaged (")
    assert "run python -m pmm_jax prepare" in str(caught.value)
    assert any("is damaged" in line for line in lines_of(market))
    assert open_split(market, "train").identities.tolist() == [2, 7]


def test_an_index_of_other_fields_is_one_line(tmp_path: Path) -> None:
    write_index(tmp_path, SMALL)
    content = json.loads((tmp_path / INDEX).read_text())
    del content["sha256"]
    for changed in (
        {name: value for name, value in content.items() if name != "splits"},
        content | {"splits": {"train": {"identities": []}}},
        content | {"splits": [1]},
        content | {"splits": {"train": [1]}},
        content | {"names": {"x": "y"}},
        content | {"younger": 1},
    ):
        body = json.dumps(changed).encode()
        (tmp_path / INDEX).write_bytes(index._seal(body) + body[1:])
        with pytest.raises(DamagedError, match="another version of pmm_jax wrote it"):
            read_index(tmp_path)


def test_an_index_that_is_no_file_is_damaged(market: DataConfig) -> None:
    target = prepare(market)
    for make in (os.mkfifo, os.mkdir):
        (target / INDEX).unlink()
        make(target / INDEX)
        with pytest.raises(DamagedError, match="not a regular file"):
            open_split(market, "train")
        assert f"market1501: {target / INDEX} is damaged" in lines_of(market)[0]
        assert len(open_split(market, "train")) == 2


def test_every_file_is_checked_and_built_anew(market: DataConfig) -> None:
    target = prepare(market)
    whole = {file: file.read_bytes() for file in target.rglob("*") if file.is_file()}
    assert len(whole) == 6  # the index, two descriptions, three splits
    rng = np.random.default_rng(0)
    for file, content in whole.items():
        flip(file, int(rng.integers(len(content))), int(rng.integers(8)))
        first, *others = lines_of(market)
        assert first == f"market1501: {file} is damaged (its checksum is another); building it anew"
        assert f"market1501: preparing 6 images in {target}" in others
    assert {file: file.read_bytes() for file in whole} == whole


@pytest.mark.parametrize("how", ["missing", "longer", "shorter", "pipe"])
def test_a_record_file_of_another_kind_is_built_anew(market: DataConfig, how: str) -> None:
    target = prepare(market)
    (file,) = target.rglob("*train.array_record*")
    content = file.read_bytes()
    file.unlink()
    if how == "pipe":
        os.mkfifo(file)
    elif how != "missing":
        file.write_bytes(content + b"\0" if how == "longer" else content[:-1])
    assert f"{file} is damaged (" in lines_of(market)[0]
    assert open_split(market, "train").read(1)


def test_damage_without_a_source_is_refused(market: DataConfig) -> None:
    target = prepare(market)
    Path(market.root).rename(market.root + "-away")
    prepare(market)
    (file,) = target.rglob("*gallery.array_record*")
    for damaged in (file, target / INDEX):
        whole = damaged.read_bytes()
        flip(damaged, len(whole) // 2, 0)
        with pytest.raises(UserError) as caught:
            prepare(market)
        assert str(caught.value).startswith(f"{damaged} is damaged (")
        assert str(caught.value).endswith("does not exist; bring it back")
        damaged.write_bytes(whole)
    prepare(market)


def test_no_flip_in_a_record_reaches_a_batch(market: DataConfig) -> None:
    """While a run reads: each image is the right one, or one line ends it."""
    target = prepare(market)
    (file,) = target.rglob("*gallery.array_record*")
    whole = file.read_bytes()
    (used,) = np.nonzero(np.frombuffer(whole, np.uint8))
    images = [open_split(market, "gallery").read(i) for i in range(3)]
    said: list[str] = []
    rng = np.random.default_rng(0)
    for position in rng.choice(used, 60, replace=False):
        flip(file, position, int(rng.integers(8)))
        try:
            split = open_split(market, "gallery")
            assert [split.read(i) for i in range(3)] == images
        except DamagedError as error:
            said.append(str(error))
        file.write_bytes(whole)
    assert len(said) > 50
    assert all(line.startswith(f"{file} is damaged (") and "\n" not in line for line in said)


def test_another_record_in_an_image_s_place_is_refused(market: DataConfig) -> None:
    prepare(market)
    split = open_split(market, "gallery")
    source = split.source
    source._checksums = source._checksums[::-1]  # type: ignore[attr-defined]
    with pytest.raises(DamagedError, match="record 0 has another checksum"):
        split.read(0)
    with ThreadPoolExecutor(2) as pool, pytest.raises(DamagedError):
        list(pool.map(split.read, range(3)))


def test_damage_met_by_a_worker_thread_is_one_line(market: DataConfig) -> None:
    target = prepare(market)
    split = open_split(market, "gallery")
    (file,) = target.rglob("*gallery.array_record*")
    file.write_bytes(bytes(len(file.read_bytes())))
    with pytest.raises(DamagedError) as caught:
        list(ordered_batches(split, replace(market, image_size=(8, 4)), 2))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_damaged_description_is_not_opened(market: DataConfig, name: str) -> None:
    target = prepare(market)
    (file,) = target.rglob(name)
    content = file.read_bytes()
    for position in range(0, len(content), 41):
        flip(file, position, 1)
        with pytest.raises(DamagedError, match=name):
            open_split(market, "train")
        file.write_bytes(content)


def test_an_index_that_may_not_be_read_is_one_line(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(market)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pmm_jax.data.index.read_regular", refuse)
    with pytest.raises(UserError, match=r"can't read .*index\.json \(Permission denied\)"):
        open_split(market, "train")
