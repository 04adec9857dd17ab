"""From a data set on disk to a prepared one, and back out of it."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data import tfds_builder
from pmm_jax.data.datasets import get_dataset
from pmm_jax.data.datasets.market1501 import Market1501
from pmm_jax.data.index import INDEX
from pmm_jax.data.prepare import prepare
from pmm_jax.data.source_images import SourceImages
from pmm_jax.data.split import open_split, prepared_folder
from pmm_jax.errors import UserError
from tests.data.market_set import MARKET, draw, lines_of, refused


def test_splits_hold_the_files_in_order(market: DataConfig) -> None:
    target = prepare(market)
    assert target == prepared_folder(market)
    expected = {
        "train": ([2, 7], [1, 6], "bounding_box_train", MARKET["bounding_box_train"]),
        "query": ([1], [1], "query", MARKET["query"]),
        "gallery": ([0, 1, 1], [1, 1, 2], "bounding_box_test", MARKET["bounding_box_test"][1:]),
    }
    for name, (identities, cameras, folder, names) in expected.items():
        split = open_split(market, name)
        assert len(split) == len(names)
        assert split.identities.dtype == split.cameras.dtype == np.int64
        assert (split.identities.tolist(), split.cameras.tolist()) == (identities, cameras)
        assert split.filenames == [f"{folder}/{name}" for name in names]
        for i, file in enumerate(split.filenames):
            assert split.read(i) == (Path(market.root) / file).read_bytes()


def test_records_carry_what_the_index_says(market: DataConfig) -> None:
    import tensorflow_datasets as tfds

    target = prepare(market)
    index = json.loads((target / INDEX).read_text())
    builder = tfds.builder_from_directory(target / index["records"])
    for name, columns in index["splits"].items():
        records = list(builder.as_data_source(name, decoders={"image": tfds.decode.SkipDecoding()}))
        assert [r["identity"] for r in records] == columns["identities"]
        assert [r["camera"] for r in records] == columns["cameras"]
        assert [r["filename"].decode() for r in records] == columns["filenames"]


def test_nothing_but_the_report_is_printed(
    market: DataConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(market)
    open_split(market, "train").read(0)
    assert capfd.readouterr() == ("", "")


def test_order_holds_over_several_files(market: DataConfig, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    for folder in MARKET:
        for i in range(40):
            draw(Path(market.root) / folder / f"0001_c1s1_{i:06d}_09.jpg", i)
    dataset = get_dataset(market)
    images = SourceImages(dataset, dataset.scan())
    builder = tfds_builder.RecordsBuilder(
        images, data_dir=tmp_path / "alone", file_format="array_record"
    )
    tfds.disable_progress_bar()
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3, try_download_gcs=False)
    )
    tfds.enable_progress_bar()
    assert builder.info.splits["query"].num_shards == 3
    source = builder.as_data_source("query", decoders={"image": tfds.decode.SkipDecoding()})
    names = [source[i]["filename"].decode() for i in range(len(source))]
    assert names == sorted(names)
    assert len(names) == 41


def test_reading_from_many_threads(market: DataConfig) -> None:
    for i in range(100):
        draw(Path(market.root) / f"query/0001_c1s1_{i:06d}_09.jpg", i)
    prepare(market)
    split = open_split(market, "query")
    files = [(Path(market.root) / name).read_bytes() for name in split.filenames]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(split.read, [*range(len(split))] * 5)) == files * 5


# Again, changed, gone, interrupted


def test_unchanged_source_is_not_built_again(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines_of(market)
    monkeypatch.setattr(tfds_builder, "run_tfds_builder", lambda *_: pytest.fail("built again"))
    assert "source unchanged" in lines_of(market)[0]


def test_on_request_it_reports_again_what_a_prepared_set_holds(market: DataConfig) -> None:
    (Path(market.root) / "query" / "Thumbs.db").touch()
    first = lines_of(market)
    again = lines_of(market)
    assert again[1:] == [line for line in first if not line.startswith("market1501:")]
    said: list[str] = []
    prepare(market, said.append, brief=True)
    assert said == again[:1]


def test_another_image_of_the_same_size_is_built_again(market: DataConfig) -> None:
    file = Path(market.root) / "query" / "0001_c1s1_001051_00.bmp"
    draw(file, 0)
    prepare(market)
    before = open_split(market, "query").fingerprint
    draw(file, 1)
    os.utime(file, ns=(1, 1))
    prepare(market)
    split = open_split(market, "query")
    assert split.fingerprint != before
    assert file.read_bytes() in [split.read(i) for i in range(len(split))]


def test_a_copy_of_a_set_has_its_fingerprint(market: DataConfig) -> None:
    prepare(market)
    before = open_split(market, "query").fingerprint
    for file in Path(market.root).rglob("*.jpg"):
        os.utime(file, ns=(1, 1))
    prepare(market)
    assert open_split(market, "query").fingerprint == before


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "resized"])
def test_changed_source_is_built_again(market: DataConfig, change: str) -> None:
    prepare(market)
    file = Path(market.root) / "bounding_box_train" / MARKET["bounding_box_train"][0]
    other = file.with_name("0003_c1s1_000451_03.jpg")
    if change == "added":
        draw(other, 9)
    elif change == "removed":
        file.unlink()
    elif change == "renamed":
        file.rename(other)
    else:
        Image.new("RGB", (64, 128)).save(file)
    target = prepare(market)
    assert {path.name for path in target.iterdir()} == {INDEX, "market1501"}
    beside = {target.name + end for end in ("", ".lock", ".notes.txt")}
    assert {path.name for path in target.parent.iterdir()} == beside
    split = open_split(market, "train")
    present = sorted((Path(market.root) / "bounding_box_train").iterdir())
    assert [split.read(i) for i in range(len(split))] == [f.read_bytes() for f in present]


def test_changed_labels_of_a_table_are_built_again(tmp_path: Path) -> None:
    for name in "abc":
        draw(tmp_path / f"{name}.jpg", 0)
    table = tmp_path / "set.csv"
    table.write_text("path,id,camera,split\na.jpg,x,1,query\nb.jpg,x,2,gallery\nc.jpg,y,3,train\n")
    config = DataConfig(name="folder", root=str(table), cache_dir=str(tmp_path / "prepared"))
    prepare(config)
    table.write_text(table.read_text().replace("c.jpg,y,3", "c.jpg,z,4"))
    prepare(config)
    split = open_split(config, "train")
    assert (split.names[split.identities[0]], split.cameras[0]) == ("z", 4)


def test_source_gone_but_prepared_is_used(market: DataConfig) -> None:
    target = prepare(market)
    Path(market.root).rename(market.root + "-away")
    (line,) = lines_of(market)
    assert "is gone; using what was prepared" in line
    assert prepare(market) == target
    assert open_split(market, "query").read(0)


def test_missing_root_says_where_to_get_the_data(market: DataConfig) -> None:
    message, _ = refused(replace(market, root="/nowhere"))
    assert message == f"data.root /nowhere does not exist; {Market1501.where}"


def test_root_that_is_a_file_is_refused(market: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "Market.zip").touch()
    message, _ = refused(replace(market, root=str(tmp_path / "Market.zip")))
    assert "is a file, not a folder" in message


def test_empty_root_is_refused(market: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message, _ = refused(replace(market, root=str(tmp_path / "empty")))
    assert "found no images named like 0002_c1s1_000451_03.jpg under" in message


def test_interrupted_build_is_not_taken_as_good(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tfds_builder.RecordsBuilder._generate_examples

    def cut_short(self: tfds_builder.RecordsBuilder, split: str) -> Iterator[tuple[int, dict]]:
        yield from list(whole(self, split))[:1]
        raise KeyboardInterrupt

    monkeypatch.setattr(tfds_builder.RecordsBuilder, "_generate_examples", cut_short)
    with pytest.raises(KeyboardInterrupt):
        prepare(market)
    with pytest.raises(UserError, match="not prepared"):
        open_split(market, "train")
    monkeypatch.setattr(tfds_builder.RecordsBuilder, "_generate_examples", whole)
    prepare(market)
    assert len(open_split(market, "gallery")) == 3
    left = {path.name for path in Path(market.cache_dir).iterdir()}
    assert left == {prepared_folder(market).name + end for end in ("", ".lock", ".notes.txt")}


def test_failed_rebuild_keeps_the_old_form(market: DataConfig) -> None:
    prepare(market)
    (Path(market.root) / "query" / "0003_c1s1_000451_03.jpg").write_bytes(b"broken")
    with pytest.raises(UserError, match="can't be decoded"):
        prepare(market)
    assert len(open_split(market, "query")) == 1


@pytest.mark.parametrize("damage", ["index", "records"])
def test_damaged_prepared_form_is_built_again(market: DataConfig, damage: str) -> None:
    target = prepare(market)
    if damage == "index":
        (target / INDEX).write_text("{")
        with pytest.raises(UserError, match="damaged"):
            open_split(market, "train")
    else:
        (file,) = target.rglob("*train.array_record*")
        file.write_bytes(file.read_bytes()[:100])
    prepare(market)
    assert open_split(market, "train").read(1)


def _prepare_in_a_process(config: DataConfig, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    prepare(config)


def test_two_processes_prepare_the_same_set(market: DataConfig) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    both = [context.Process(target=_prepare_in_a_process, args=(market, start)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(open_split(market, "gallery")) == 3


def test_prepared_folder_that_cannot_be_written(market: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"can't write .* set data\.cache_dir"):
        prepare(replace(market, cache_dir=str(tmp_path / "file" / "prepared")))


def test_roots_and_fractions_do_not_collide(market: DataConfig) -> None:
    own = replace(market, name="folder")
    configs = [
        market,
        replace(market, root=market.root + "2"),
        replace(market, name="dukemtmc"),
        own,
        replace(own, train_fraction=0.25),
    ]
    assert len({prepared_folder(config) for config in configs}) == len(configs)
    assert prepared_folder(replace(market, train_fraction=0.25)) == prepared_folder(market)


def test_relative_and_absolute_root_are_one(
    market: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(market.root).parent)
    assert prepared_folder(replace(market, root="./market/")) == prepared_folder(market)


# What is wrong with images, and what only deserves a note


def test_unprepared_set_names_the_command(market: DataConfig) -> None:
    with pytest.raises(UserError, match="run python -m pmm_jax prepare"):
        open_split(market, "train")


# Decoding
