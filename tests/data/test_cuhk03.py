"""CUHK03's new protocol from folders and from MATLAB files."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from pmm_jax.config import DataConfig
from pmm_jax.data.datasets import cuhk03, get_dataset
from pmm_jax.data.images import ImageError
from pmm_jax.data.prepare import prepare
from pmm_jax.data.records import Record
from pmm_jax.data.split import open_split
from pmm_jax.errors import UserError
from tests.data.own_set import scan

# (pair, person, image) from 1; images 1 to 5 are view 1, 6 to 10 view 2.
PRESENT = [(1, 1, 1), (1, 1, 6), (1, 2, 1), (1, 2, 2), (1, 2, 6), (5, 1, 3), (5, 1, 7)]


def name(pair: int, person: int, image: int) -> str:
    return f"{pair}_{person:03d}_{1 if image <= 5 else 2}_{image:02d}.png"


def pixels(kind: str, pair: int, person: int, image: int) -> np.ndarray:
    seed = cuhk03.KINDS.index(kind) * 100_000 + pair * 10_000 + person * 100 + image
    size = (7 + image, 4 + person, 3)
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def write_images(file: Path, kinds: tuple[str, ...] = cuhk03.KINDS) -> None:
    """A small cuhk-03.mat: MATLAB v7.3 stores column-major, so every array is transposed."""
    people = {1: 2, 5: 1}
    with h5py.File(file, "w") as mat:
        hidden = mat.create_group("#refs#")

        def keep(array: np.ndarray) -> h5py.Reference:
            return hidden.create_dataset(f"d{len(hidden)}", data=array).ref

        for kind in kinds:
            pairs = np.empty((1, 5), h5py.ref_dtype)
            for pair in range(1, 6):
                cell = np.empty((10, people.get(pair, 1)), h5py.ref_dtype)
                for image, person in np.ndindex(cell.shape):
                    key = (pair, person + 1, image + 1)
                    # MATLAB writes an empty array as its size, in uint64.
                    empty = np.zeros(2, np.uint64)
                    cell[image, person] = keep(pixels(kind, *key).T if key in PRESENT else empty)
                pairs[0, pair - 1] = keep(cell)
            mat.create_dataset(kind, data=pairs)


def write_config(file: Path, keys: list[tuple[int, int, int]] = PRESENT) -> None:
    filelist = np.empty((len(keys), 1), object)
    filelist[:, 0] = [name(*key) for key in keys]
    savemat(
        file,
        {
            "filelist": filelist,
            "labels": np.array([[10 * pair + person] for pair, person, _ in keys], np.uint16),
            "camId": np.array([[1 if image <= 5 else 2] for *_, image in keys], np.uint8),
            "train_idx": np.array([[1], [2]], np.uint16),
            "query_idx": np.array([[3]], np.uint16),
            "gallery_idx": np.array([[4], [5], [6], [7]], np.uint16),
        },
    )


def reader(root: Path, kind: str) -> Callable[[str], bytes]:
    return get_dataset(DataConfig(name=f"cuhk03_{kind}", root=str(root))).reader()


def write_mat(root: Path, images: str = "cuhk-03.mat") -> Path:
    (root / images).parent.mkdir(parents=True, exist_ok=True)
    write_images(root / images)
    for config in cuhk03.PROTOCOLS:
        write_config(root / config)
    return root


@pytest.mark.parametrize("kind", cuhk03.KINDS)
def test_config_indices_count_from_one(tmp_path: Path, kind: str) -> None:
    splits = scan(f"cuhk03_{kind}", write_mat(tmp_path)).splits
    assert splits["train"] == [Record("1_001_1_01.png", 11, 1), Record("1_001_2_06.png", 11, 2)]
    assert splits["query"] == [Record("1_002_1_01.png", 12, 1)]
    assert [(r.identity, r.camera) for r in splits["gallery"]] == [
        (12, 1),
        (12, 2),
        (51, 1),
        (51, 2),
    ]


@pytest.mark.parametrize("kind", cuhk03.KINDS)
@pytest.mark.parametrize("images", cuhk03.IMAGES)
def test_mat_images_are_those_of_their_names(tmp_path: Path, images: str, kind: str) -> None:
    read = reader(write_mat(tmp_path, images), kind)
    for key in PRESENT:
        image = Image.open(io.BytesIO(read(name(*key))))
        np.testing.assert_array_equal(np.asarray(image), pixels(kind, *key))


@pytest.mark.parametrize(
    ("absent", "reason"),
    [
        ("1_001_1_02.png", "its labeled cell holds no image"),
        ("1_009_1_02.png", "out of bounds"),
        ("6_001_1_01.png", "out of range"),
        ("0_001_1_01.png", "count from 1"),
        ("1_000_1_01.png", "count from 1"),
        ("1_001_1_00.png", "count from 1"),
        ("1_001_1_01.jpg", "not like 1_001_1_01"),
    ],
)
def test_an_absent_image_is_named(tmp_path: Path, absent: str, reason: str) -> None:
    read = reader(write_mat(tmp_path), "labeled")
    with pytest.raises(ImageError) as caught:
        read(absent)
    assert str(caught.value).startswith(f"{absent} can't be read from cuhk-03.mat (")
    assert reason in caught.value.detail
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "cell",
    [
        np.zeros((3, 4), np.uint8),
        np.zeros((4, 5, 6), np.uint8),
        np.zeros((3, 0, 4), np.uint8),
        np.zeros((3, 5, 4), np.float64),
        np.uint8(3),
        b"text",
    ],
    ids=["gray", "channels", "empty", "float", "scalar", "text"],
)
def test_a_cell_that_is_no_image_is_named(tmp_path: Path, cell: object) -> None:
    file = write_mat(tmp_path) / "cuhk-03.mat"
    with h5py.File(file, "r+") as mat:
        mat["odd"] = cell
        pair = mat[mat["detected"][0, 0]]
        pair[0, 0] = mat["odd"].ref
    with pytest.raises(ImageError, match=r"^1_001_1_01\.png can't be read from cuhk-03\.mat \("):
        reader(tmp_path, "detected")("1_001_1_01.png")


def test_a_cell_that_promises_too_much_is_not_read(tmp_path: Path) -> None:
    file = write_mat(tmp_path) / "cuhk-03.mat"
    with h5py.File(file, "r+") as mat:
        huge = mat.create_dataset("huge", (3, 2**20, 2**20), np.uint8, chunks=(3, 64, 64))
        mat[mat["detected"][0, 0]][0, 0] = huge.ref
    with pytest.raises(ImageError, match="more than 89,478,485 pixels"):
        reader(tmp_path, "detected")("1_001_1_01.png")


def test_damaged_images_are_one_line_or_none(tmp_path: Path) -> None:
    """Flipped bits and cuts."""
    file = write_mat(tmp_path) / "cuhk-03.mat"
    whole, rng, said = file.read_bytes(), np.random.default_rng(0), []
    for number in range(100):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, len(whole), 8)] ^= 16
        content = damaged.tobytes()
        # HDF5 would give an open file again, so that each is another one.
        file = tmp_path / f"{number}.mat"
        file.write_bytes(content[: rng.integers(len(content))] if number % 5 == 0 else content)
        try:
            images = cuhk03.MatImages(file, "detected")
            for key in PRESENT:
                images.read(name(*key))
        except UserError as error:
            said.append(str(error))
    assert len(said) > 30
    assert not any("\n" in line for line in said)


def test_a_damaged_configuration_ends_no_process(tmp_path: Path) -> None:
    """This flip, in the first array's class, kills scipy's reader: a segmentation fault."""
    file = write_mat(tmp_path) / cuhk03.PROTOCOLS[0]
    damaged = bytearray(file.read_bytes())
    damaged[144] ^= 4
    file.write_bytes(damaged)
    with pytest.raises(UserError, match="is no CUHK03 new-protocol file, or is damaged"):
        scan("cuhk03_detected", tmp_path)


@pytest.mark.parametrize("row", [0, -1, 8, 2**31])
def test_an_index_out_of_the_list_is_refused(tmp_path: Path, row: int) -> None:
    file = write_mat(tmp_path) / cuhk03.PROTOCOLS[0]
    content = loadmat(file)
    content["query_idx"] = np.array([[row]], np.int64)
    savemat(file, {name: value for name, value in content.items() if name[0] != "_"})
    with pytest.raises(UserError, match="no CUHK03 new-protocol file"):
        scan("cuhk03_detected", tmp_path)


@pytest.mark.parametrize("kind", cuhk03.KINDS)
def test_folders_of_the_kind_are_read(tmp_path: Path, kind: str) -> None:
    write_mat(tmp_path)
    for folder, file in [
        ("bounding_box_train", "0001_c1_1.png"),
        ("query", "0003_c1_22.png"),
        ("bounding_box_test", "0003_c2_28.png"),
    ]:
        (tmp_path / kind / folder).mkdir(parents=True)
        (tmp_path / kind / folder / file).write_bytes(b"image of " + kind.encode())
    found = scan(f"cuhk03_{kind}", tmp_path)
    assert found.splits == {
        "train": [Record(f"{kind}/bounding_box_train/0001_c1_1.png", 1, 1)],
        "query": [Record(f"{kind}/query/0003_c1_22.png", 3, 1)],
        "gallery": [Record(f"{kind}/bounding_box_test/0003_c2_28.png", 3, 2)],
    }
    read = reader(tmp_path, kind)
    assert read(found.splits["query"][0].path) == b"image of " + kind.encode()


@pytest.mark.parametrize("name", ["cuhk03_detected", "cuhk03_labeled"])
def test_mat_files_are_prepared(tmp_path: Path, name: str) -> None:
    root = write_mat(tmp_path / "cuhk")
    config = DataConfig(name=name, root=str(root), cache_dir=str(tmp_path / "prepared"))
    prepare(config)
    gallery = open_split(config, "gallery")
    assert gallery.identities.tolist() == [12, 12, 51, 51]
    image = Image.open(io.BytesIO(gallery.read(0)))
    np.testing.assert_array_equal(np.asarray(image), pixels(name.removeprefix("cuhk03_"), 1, 2, 2))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither a folder detected nor cuhk-03\.mat"):
        scan("cuhk03_detected", tmp_path)
    write_images(tmp_path / "cuhk-03.mat")
    with pytest.raises(UserError, match=r"no cuhk03_new_protocol_config_labeled\.mat"):
        scan("cuhk03_labeled", tmp_path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    write_mat(tmp_path)
    (tmp_path / "cuhk-03.mat").write_bytes(b"not HDF5")
    with pytest.raises(UserError, match=r"not cuhk-03\.mat as published"):
        reader(tmp_path, "detected")
    for content in (b"", b"not MATLAB, and long enough to be looked at" * 9):
        (tmp_path / cuhk03.PROTOCOLS[0]).write_bytes(content)
        with pytest.raises(UserError, match="no CUHK03 new-protocol file"):
            scan("cuhk03_detected", tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("kind", "counts"), [("detected", (7365, 5332)), ("labeled", (7368, 5328))]
)
def test_real_configs_give_the_published_counts(kind: str, counts: tuple[int, int]) -> None:
    root = os.environ.get("PMM_CUHK03_CONFIGS")
    if not root:
        pytest.skip("PMM_CUHK03_CONFIGS does not name a folder with the new-protocol .mat files")
    splits = cuhk03.read_protocol_mat(Path(root) / f"cuhk03_new_protocol_config_{kind}.mat")
    assert (len(splits["train"]), len(splits["gallery"])) == counts
    assert len(splits["query"]) == 1400
    identities = {split: {record.identity for record in splits[split]} for split in splits}
    assert {split: len(found) for split, found in identities.items()} == {
        "train": 767,
        "query": 700,
        "gallery": 700,
    }
    assert identities["query"] == identities["gallery"]
    assert not identities["train"] & identities["query"]
    assert {record.camera for records in splits.values() for record in records} == {1, 2}
