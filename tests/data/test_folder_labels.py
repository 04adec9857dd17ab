"""Identities and cameras by folders and names; what is taken for neither is refused."""

from pathlib import Path

import pytest

from pmm_jax.data.datasets.folder.labels import DEEPER, LOOSE, NO_MATCH
from pmm_jax.errors import UserError
from tests.data.own_set import notes, rows, scan_folder, write

CSV = "path,id,camera,split"


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as raised:
        scan_folder(root, 0.5)
    message = str(raised.value)
    assert "\n" not in message
    return message


def images(pattern: str, people: int = 6, cameras: str = "12", shots: int = 2) -> list[str]:
    """Paths by a pattern with {p}, {c} and {n}."""
    return [
        pattern.format(p=p, c=c, n=n) for p in range(people) for c in cameras for n in range(shots)
    ]


# Cameras as folders


@pytest.mark.parametrize(
    "pattern",
    [
        "{s}/cam{c}/{p:04d}/{n}.jpg",
        "{s}/{p:04d}/cam{c}/{n}.jpg",
        "{s}/Camera_{c}/person{p}/{n}.jpg",
        "{s}/c{c}/{p:04d}/{n}.jpg",
        "{s}/view-{c}/c{p}/{n}.jpg",
    ],
)
def test_splits_of_cameras_and_identities(tmp_path: Path, pattern: str) -> None:
    for split in ("train", "query", "gallery"):
        write(tmp_path, *images(pattern.replace("{s}", split)))
    found = scan_folder(tmp_path, 0.5)
    assert [len(found.splits[s]) for s in ("train", "query", "gallery")] == [24, 24, 24]
    assert len(found.names) == 6
    assert {record.camera for record in found.records()} == {1, 2}
    assert all(record.path.split("/")[0] == "train" for record in found.splits["train"])
    for record in found.records():
        assert found.names[record.identity] in record.path.split("/")
        assert found.camera_names[record.camera] in record.path.split("/")


@pytest.mark.parametrize("pattern", ["cam_{c}/{p:04d}/{n}.jpg", "{p:04d}/cam_{c}/{n}.jpg"])
def test_cameras_and_identities_without_splits_are_divided(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, *images(pattern, cameras="ab"))
    found = scan_folder(tmp_path, 0.5)
    assert len({record.identity for record in found.splits["train"]}) == 3
    assert found.camera_names == {0: "cam_a", 1: "cam_b"}
    assert {record.camera for record in found.splits["query"]} == {0, 1}


@pytest.mark.parametrize("pattern", ["{c}/{p:04d}/{n}.jpg", "cam{c}/cam{p}/{n}.jpg"])
def test_two_levels_of_which_the_camera_is_not_plain_are_refused(
    tmp_path: Path, pattern: str
) -> None:
    message = refusal(write(tmp_path, *images(pattern)))
    assert "name the cameras' folders cam1, cam2" in message
    assert CSV in message


def test_viper(tmp_path: Path) -> None:
    for angle, camera in ((0, "cam_a"), (90, "cam_b")):
        write(tmp_path, *(f"{camera}/{p:03d}_{angle}.bmp" for p in range(20)))
    found = scan_folder(tmp_path, 0.5)
    assert len({record.identity for record in found.splits["train"]}) == 10
    assert {r.path.split("/")[0] for r in found.splits["query"]} == {"cam_a"}
    assert {r.path.split("/")[0] for r in found.splits["gallery"]} == {"cam_b"}
    assert [found.names[r.identity] for r in found.splits["query"]] == [
        r.path[6:9] for r in found.splits["query"]
    ]
    assert found.camera_names == {0: "cam_a", 1: "cam_b"}


def test_two_cameras_with_several_images_of_a_name_are_not_viper(tmp_path: Path) -> None:
    """Names like 0001_02 may be of people, or of frames."""
    write(tmp_path, *images("cam_{c}/{p:03d}_{n}.bmp", cameras="ab"))
    assert "cam_a of" in refusal(tmp_path)
    assert "named like a camera" in refusal(tmp_path)


# Folders that are no identities


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("images/{p:04d}_{n}.jpg", "images of .* named like a collection of images"),
        ("cam{c}/{p:04d}_{n}.jpg", "cam1 of .* named like a camera, .* 6 identities"),
        ("my_train/{p:04d}_{n}.jpg", "my_train of .* named like a split, .* 6 identities"),
        ("bbox_train/{p:04d}/{p:04d}C1T0001F{n}.jpg", "in its folder bbox_train; did you mean"),
        ("set{c}/{p:04d}/{n}.jpg", "two levels of folders"),
        ("set/{p:04d}/{n}.jpg", "in its folder set; did you mean .*/set"),
        ("c{c}/{p:04d}_{n}.jpg", "c1 of .* is no identity: its 12 images are named after 6"),
        ("day{c}/{p:04d}_{n}.jpg", "day1 of .* named after 6 .*0000, 0001, 0002"),
        ("place{c}/{p:04d}_c1_{n}.jpg", "place1 of .* named after 6"),
        ("tour{c}/{p:04d}C1T0001F{n}.jpg", "tour1 of .* named after 6"),
        ("walk{c}/person_{p}_{n}.jpg", "walk1 of .* named after 6"),
        ("stuff/{p}.jpg", "lie in one folder, stuff, as if of one identity"),
        ("person_{p}_{n}.jpg", "names don't tell identity and camera"),
        ("train/x{p}_{n}.jpg", "names don't tell identity and camera"),
        ("train/a/b/c{p}/{n}.jpg", "3 levels of folders"),
    ],
)
def test_folders_that_are_no_identities_are_refused(
    tmp_path: Path, pattern: str, said: str
) -> None:
    write(tmp_path, *images(pattern, cameras="123"))
    with pytest.raises(UserError, match=said) as raised:
        scan_folder(tmp_path, 0.5)
    assert CSV in str(raised.value) or "did you mean" in str(raised.value)


def test_file_names_that_contradict_one_folder_of_many_are_refused(tmp_path: Path) -> None:
    write(tmp_path, *(f"{p:04d}/{p:04d}_c{c}_0.jpg" for p in range(9) for c in (1, 2)))
    scan_folder(tmp_path, 0.5)
    write(tmp_path, "0003/0008_c1_0.jpg")
    assert "the folder 0003 of" in refusal(tmp_path)
    assert "named after 2 (0003, 0008)" in refusal(tmp_path)


@pytest.mark.parametrize(
    "pattern",
    [
        "cow{p}/{n}.jpg",
        "cow{p}/IMG_20230{c}01_{n}.jpg",
        "{p}/2023010{n}_12000{c}.jpg",
        "c{p}/frame{c}{n}.jpg",
        "Camel{p}/person{n}{c}.jpg",
        "{p}/img_c{c}_{n}.jpg",
        "{p:04d}/{p:04d}_c{c}s1_00{n}_00.jpg",
        "{p}/17{c}_{n}.jpg",
        "trainer {p}/{n}.jpg",
    ],
)
def test_names_of_sound_sets_are_left_alone(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, *images(pattern))
    assert len(scan_folder(tmp_path, 0.5).names) == 6


def test_dates_are_no_identities(tmp_path: Path) -> None:
    write(tmp_path, *(f"cow{p}/IMG_2023010{n}_1.jpg" for p in "ab" for n in range(6)))
    assert len(scan_folder(tmp_path, 0.5).names) == 2


# Images at another depth


def test_a_few_loose_or_deeper_images_are_noted(tmp_path: Path) -> None:
    write(tmp_path, *images("cow{p}/{n}.jpg"), "loose.jpg", "cow1/more/3.jpg")
    assert notes(scan_folder(tmp_path, 0.5)) == {"loose.jpg": LOOSE, "cow1/more/3.jpg": DEEPER}


@pytest.mark.parametrize("pattern", ["loose{p}{n}.jpg", "cow{p}/more/{n}.jpg"])
def test_many_of_them_are_refused(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, *images("cow{p}/{n}.jpg"), *images(pattern))
    assert "holds 12 images like" in refusal(tmp_path)


def test_some_names_that_tell_nothing_are_noted(tmp_path: Path) -> None:
    write(tmp_path, *images("{p}_c{c}_{n}.jpg"), "lost.jpg")
    found = scan_folder(tmp_path, 0.5)
    assert notes(found) == {"lost.jpg": NO_MATCH}
    assert len({name for _, name, _ in rows(found, "train")}) == 3


@pytest.mark.parametrize("clutter", ["@eaDir", ".thumbnails", "__MACOSX", "#recycle"])
def test_what_systems_leave_behind_is_not_looked_into(tmp_path: Path, clutter: str) -> None:
    write(tmp_path, *images("cow{p}/{n}.jpg"))
    write(tmp_path, *images(clutter + "/cow{p}/{n}.jpg"), f"cow1/{clutter}/0.jpg/thumb.jpg")
    found = scan_folder(tmp_path, 0.5)
    assert len(list(found.records())) == 12
    assert not found.problems
