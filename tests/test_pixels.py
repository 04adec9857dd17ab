"""Images that users hand over: any size, but whole and with pixels."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmm_jax.errors import UserError
from pmm_jax.pixels import pixel_batches, pixels

SIZE = (8, 4)


def test_path_image_and_array_of_one_picture_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "one.png")
    expected = np.asarray(Image.fromarray(array).resize((4, 8), Image.Resampling.BILINEAR))
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (array, Image.fromarray(array), tmp_path / "one.png", "~/one.png"):
        found = pixels(given, SIZE)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5, 3), (5, 0, 3)])
def test_images_without_pixels_are_refused(shape: tuple[int, int, int]) -> None:
    sound = np.zeros((2, 2, 3), np.uint8)
    for empty in (np.zeros(shape, np.uint8), Image.new("RGB", shape[1::-1])):
        with pytest.raises(UserError, match=r"^image 3 has 0 pixels; leave it out$"):
            list(pixel_batches([sound, sound, sound, empty], SIZE, 2))
    with pytest.raises(UserError, match=r"^image 0 has 0 pixels"):
        list(pixel_batches(np.zeros((2, *shape), np.uint8), SIZE, 2))


def test_files_that_cannot_be_images_are_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    for name, reason in [
        ("pipe.jpg", "is a pipe, a device or a folder, not an image file"),
        ("zero.png", "is a pipe, a device or a folder, not an image file"),
        (".", "is a pipe, a device or a folder, not an image file"),
        ("empty.jpg", "can't be decoded (the file is empty)"),
        ("text.jpg", "can't be decoded (it is no JPEG, PNG, BMP or WEBP image)"),
        ("none.jpg", "No such file"),
        ("a\0b.jpg", "embedded null"),
        ("a\nb.jpg", "No such file"),
    ]:
        with pytest.raises(UserError) as caught:
            pixels(tmp_path / name, SIZE)
        assert reason in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_torn_image_that_pil_has_only_opened_is_refused(tmp_path: Path) -> None:
    Image.effect_noise((50, 50), 50).save(tmp_path / "torn.png")
    content = (tmp_path / "torn.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(content[: len(content) // 2])
    with (
        Image.open(tmp_path / "torn.png") as image,
        pytest.raises(UserError, match=r"^image 7 can't be decoded"),
    ):
        pixels(image, SIZE, "image 7")
