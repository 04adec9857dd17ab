"""From a data set on disk to a prepared one, and back out of it."""

import io
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data import builders
from pmm_jax.data.decode import decode, decode_split
from pmm_jax.data.prepare import prepare
from pmm_jax.data.published import PUBLISHED, WHERE
from pmm_jax.data.split import INDEX, open_split, prepared_folder
from pmm_jax.errors import UserError

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c6s3_094992_04.jpg"],
    "query": ["0001_c1s1_001051_00.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c1s1_000301_00.jpg",
        "0001_c2s1_000301_00.jpg",
    ],
}


def draw(path: Path, seed: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def market(tmp_path: Path) -> DataConfig:
    root = tmp_path / "market"
    for folder, names in MARKET.items():
        for seed, name in enumerate(names):
            draw(root / folder / name, seed)
    return DataConfig(root=str(root), prepared=str(tmp_path / "prepared"))


def lines_of(config: DataConfig) -> list[str]:
    lines: list[str] = []
    prepare(config, lines.append)
    return lines


def refused(config: DataConfig) -> tuple[str, list[str]]:
    """The error's one line, and what was reported before it."""
    lines: list[str] = []
    with pytest.raises(UserError) as raised:
        prepare(config, lines.append)
    assert "\n" not in str(raised.value)
    assert not prepared_folder(config).exists()
    return str(raised.value), lines


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
    builder = builders.Market1501(data_dir=tmp_path / "alone", file_format="array_record")
    tfds.disable_progress_bar()
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=market.root, num_shards=3, try_download_gcs=False
        )
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
    monkeypatch.setattr(builders, "build", lambda *_: pytest.fail("built again"))
    assert "source unchanged" in lines_of(market)[0]


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
    assert {path.name for path in target.parent.iterdir()} == {target.name, target.name + ".lock"}
    split = open_split(market, "train")
    present = sorted((Path(market.root) / "bounding_box_train").iterdir())
    assert [split.read(i) for i in range(len(split))] == [f.read_bytes() for f in present]


def test_changed_labels_of_a_table_are_built_again(tmp_path: Path) -> None:
    for name in "abc":
        draw(tmp_path / f"{name}.jpg", 0)
    table = tmp_path / "set.csv"
    table.write_text("path,id,camera,split\na.jpg,x,1,query\nb.jpg,x,2,gallery\nc.jpg,y,3,train\n")
    config = DataConfig(name="folder", root=str(table), prepared=str(tmp_path / "prepared"))
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
    assert message == f"data.root /nowhere does not exist; {WHERE['market1501']}"
    assert set(WHERE) == {*PUBLISHED, "folder"}


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
    whole = builders.Market1501._generate_examples

    def cut_short(
        self: builders.Market1501, records: list, read: Callable[[str], bytes]
    ) -> Iterator[tuple[int, dict]]:
        yield from list(whole(self, records, read))[:1]
        raise KeyboardInterrupt

    monkeypatch.setattr(builders.Market1501, "_generate_examples", cut_short)
    with pytest.raises(KeyboardInterrupt):
        prepare(market)
    with pytest.raises(UserError, match="not prepared"):
        open_split(market, "train")
    monkeypatch.setattr(builders.Market1501, "_generate_examples", whole)
    prepare(market)
    assert len(open_split(market, "gallery")) == 3
    left = {path.name for path in Path(market.prepared).iterdir()}
    assert left == {prepared_folder(market).name, prepared_folder(market).name + ".lock"}


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
    with pytest.raises(UserError, match=r"can't write .* set data\.prepared"):
        prepare(replace(market, prepared=str(tmp_path / "file" / "prepared")))


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


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_corrupt_images_are_fatal_and_named(market: DataConfig, damage: str) -> None:
    names = [f"bounding_box_train/{name}" for name in MARKET["bounding_box_train"]]
    for name in names:
        file = Path(market.root) / name
        content = file.read_bytes()
        damaged = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"not found"}
        file.write_bytes(damaged[damage])
    message, lines = refused(market)
    assert message.startswith(f"{names[0]}: can't be decoded")
    assert "(and 1 more like it, listed above)" in message
    assert "BytesIO" not in message
    assert [line.split(": ")[1] for line in lines if line.startswith("error: ")] == names


def test_junk_is_not_even_verified(market: DataConfig) -> None:
    (Path(market.root) / "bounding_box_test" / MARKET["bounding_box_test"][0]).write_bytes(b"")
    prepare(market)


def test_notes_name_the_first_and_count_the_rest(market: DataConfig) -> None:
    for folder in MARKET:
        (Path(market.root) / folder / "Thumbs.db").touch()
    draw(Path(market.root) / "query" / "1488_c3s3_071344_00.jpg.jpg", 0)
    lines = lines_of(market)
    assert "note: bounding_box_train/Thumbs.db and 2 more: not an image, skipped" in lines
    assert "note: query/1488_c3s3_071344_00.jpg.jpg: name ends in .jpg.jpg, used as it is" in lines


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


def test_unprepared_set_names_the_command(market: DataConfig) -> None:
    with pytest.raises(UserError, match="run python -m pmm_jax prepare"):
        open_split(market, "train")


# Decoding


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def test_decode_is_pil_s_bilinear_resize() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8))
    decoded = decode(encode(image), (48, 16))
    assert (decoded.shape, decoded.dtype) == ((48, 16, 3), np.uint8)
    np.testing.assert_array_equal(decoded, image.resize((16, 48), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_decode_of_other_modes(mode: str) -> None:
    """A grey ramp reads the same in every mode, at its own size."""
    ramp = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (8, 1))
    if mode == "1":
        ramp = np.where(ramp < 128, np.uint8(0), np.uint8(255))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
        assert image.mode == mode
    else:
        image = Image.fromarray(ramp).convert(mode)
    expected = np.repeat(ramp[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode(encode(image), ramp.shape), expected)


def test_decode_of_a_palette_with_transparency() -> None:
    image = Image.fromarray(np.full((4, 4), 77, np.uint8)).convert("P")
    image.info["transparency"] = bytes(range(256))
    assert decode(encode(image), (4, 4)).tolist() == np.full((4, 4, 3), 77).tolist()


@pytest.mark.parametrize("kind", ["BMP", "WEBP", "JPEG"])
def test_decode_of_other_formats(kind: str) -> None:
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    assert np.abs(decode(encode(image, kind), (8, 8)).astype(int) - [200, 100, 50]).max() < 6


def test_decode_split_fills_in_order_and_reports(market: DataConfig) -> None:
    for i in range(150):
        draw(Path(market.root) / f"query/0001_c1s1_{i:06d}_09.jpg", i)
    prepare(market)
    split = open_split(market, "query")
    finished: list[int] = []
    images = decode_split(split, (24, 8), workers=3, progress=finished.append)
    assert (images.shape, images.dtype) == ((151, 24, 8, 3), np.uint8)
    assert sum(finished) == 151
    for i in range(len(split)):
        np.testing.assert_array_equal(images[i], decode(split.read(i), (24, 8)))
