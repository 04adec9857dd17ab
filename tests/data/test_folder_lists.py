"""VehicleID, and VeRi-776's lists of names."""

from pathlib import Path

import pytest

from pmm_jax.data.datasets.folder.lists import OTHER_TEST
from pmm_jax.errors import UserError
from tests.data.own_set import fatal, notes, rows, scan_folder, write

SIZES = (800, 1600)


def vehicle_id(root: Path, vehicles: int = 10, shots: int = 4) -> Path:
    """Vehicles 0 to 4 are for training, 5 and 6 in the smaller test, all others in the larger."""
    images = [(f"{i:07d}", i // shots) for i in range(vehicles * shots)]
    write(root, *(f"image/{name}.jpg" for name, _ in images), "attribute/color_attr.txt")
    (root / "train_test_split").mkdir()
    for name, wanted in (
        ("train_list", range(5)),
        ("test_list_800", range(5, 7)),
        ("test_list_1600", range(5, 10)),
    ):
        lines = (f"{image} {vehicle}\n" for image, vehicle in images if vehicle in wanted)
        (root / "train_test_split" / f"{name}.txt").write_text("".join(lines))
    return root


def test_vehicle_id_has_one_image_of_each_vehicle_in_the_gallery(tmp_path: Path) -> None:
    found = scan_folder(vehicle_id(tmp_path), 0.5)
    assert [name for _, name, _ in rows(found, "train")] == [str(i // 4) for i in range(20)]
    assert sorted(name for _, name, _ in rows(found, "gallery")) == ["5", "6"]
    assert sorted(name for _, name, _ in rows(found, "query")) == ["5"] * 3 + ["6"] * 3
    assert all(record.camera < 0 for record in found.records())
    assert all(Path(tmp_path, record.path).is_file() for record in found.records())
    assert notes(found) == {"train_test_split/test_list_1600.txt": OTHER_TEST}


def test_the_gallery_of_vehicle_id_is_sampled_not_the_first_image(tmp_path: Path) -> None:
    (vehicle_id(tmp_path, 40) / "train_test_split/test_list_800.txt").write_text(
        "".join(f"{i:07d} {i // 4}\n" for i in range(40, 160))
    )
    gallery = [int(path[6:13]) % 4 for path, _, _ in rows(scan_folder(tmp_path, 0.5), "gallery")]
    assert len(gallery) == 30
    assert set(gallery) == {0, 1, 2, 3}
    again = [int(path[6:13]) % 4 for path, _, _ in rows(scan_folder(tmp_path, 0.5), "gallery")]
    assert again == gallery


@pytest.mark.parametrize("name", ["train_list.txt", "test_list_800.txt"])
def test_lists_of_vehicle_id_that_lack_or_hold_nothing(tmp_path: Path, name: str) -> None:
    lists = vehicle_id(tmp_path) / "train_test_split"
    (lists / "test_list_1600.txt").unlink()
    (lists / name).write_text("nonsense\n")
    with pytest.raises(UserError, match=rf"no lines like `0211318 26` in .*{name}"):
        scan_folder(tmp_path, 0.5)
    (lists / name).write_bytes(b"0000001 1\n\xff 2\n")
    with pytest.raises(UserError, match=rf"{name}:2 is not UTF-8"):
        scan_folder(tmp_path, 0.5)
    (lists / name).unlink()
    with pytest.raises(UserError, match=rf"train_test_split lacks {name}"):
        scan_folder(tmp_path, 0.5)


def test_odd_lines_of_vehicle_id_are_noted(tmp_path: Path) -> None:
    with open(vehicle_id(tmp_path) / "train_test_split/train_list.txt", "a") as file:
        file.write("\n../../etc/passwd 3\n0000001\n")
    found = scan_folder(tmp_path, 0.5)
    assert {"train_test_split/train_list.txt:22", "train_test_split/train_list.txt:23"} < set(
        notes(found)
    )
    assert len(found.splits["train"]) == 20


VERI = {
    "image_train": ["0001_c001_00000001_0.jpg", "0001_c002_00000002_0.jpg"],
    "image_query": ["0002_c003_00000003_0.jpg"],
    "image_test": ["0002_c003_00000003_0.jpg", "0002_c020_00000004_0.jpg"],
}


def veri(root: Path) -> Path:
    return write(root, *(f"{split}/{name}" for split, names in VERI.items() for name in names))


def test_veri(tmp_path: Path) -> None:
    found = scan_folder(veri(tmp_path), 0.5)
    assert rows(found, "train") == [
        ("image_train/0001_c001_00000001_0.jpg", "0001", 1),
        ("image_train/0001_c002_00000002_0.jpg", "0001", 2),
    ]
    assert rows(found, "query") == [("image_query/0002_c003_00000003_0.jpg", "0002", 3)]
    assert [camera for _, _, camera in rows(found, "gallery")] == [3, 20]
    assert not found.problems


def test_the_lists_of_veri_say_which_images_count(tmp_path: Path) -> None:
    write(veri(tmp_path), "image_train/0009_c001_00000009_0.jpg")
    (tmp_path / "name_train.txt").write_bytes("\r\n".join(VERI["image_train"]).encode())
    found = scan_folder(tmp_path, 0.5)
    assert len(found.splits["train"]) == 2
    assert notes(found) == {
        "image_train/0009_c001_00000009_0.jpg": "not in name_train.txt, skipped"
    }
    with open(tmp_path / "name_train.txt", "a") as file:
        file.write("\n0007_c001_00000009_0.jpg\n../image_test/0002_c020_00000004_0.jpg\n")
        file.write("../../0002_c020_00000004_0.jpg\n")
    found = scan_folder(tmp_path, 0.5)
    assert "image_train/0007_c001_00000009_0.jpg" in {r.path for r in found.splits["train"]}
    assert list(fatal(found)) == ["image_train/../../0002_c020_00000004_0.jpg"]
