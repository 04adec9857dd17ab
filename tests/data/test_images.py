"""Image files: the announced formats and no others, bounded, never waited for."""

import ast
import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from pmm_jax.config import DataConfig
from pmm_jax.data import images
from pmm_jax.data.decode import decode
from pmm_jax.data.images import ImageError, is_rotated, open_image, read_image
from pmm_jax.data.prepare import prepare
from pmm_jax.data.records import IMAGE_SUFFIXES
from pmm_jax.errors import UserError

ROOT = Path(__file__).parents[2]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(seed: int = 0, size: tuple[int, int] = (12, 8)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def reason_of(content: bytes) -> str:
    with pytest.raises(ImageError) as caught, open_image(content, "it"):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("it ")


@pytest.fixture
def no_ghostscript(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("started"))


def test_each_announced_ending_is_a_format_that_opens() -> None:
    Image.init()
    for suffix in IMAGE_SUFFIXES:
        kind = Image.registered_extensions()[suffix]
        with open_image(encoded(noise(), kind)) as image:
            assert (image.format, image.size) == (kind, (12, 8))
            image.load()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "EPS", "ICO", "TGA", "PCX", "PDF"])
@pytest.mark.usefixtures("no_ghostscript")
def test_no_other_format_opens(kind: str) -> None:
    what = "can't be decoded (it is no JPEG, PNG, BMP or WEBP image); "
    assert reason_of(encoded(noise(), kind)).startswith(what)


@pytest.mark.usefixtures("no_ghostscript")
def test_postscript_named_jpg_is_refused_by_prepare_and_starts_nothing(market: DataConfig) -> None:
    file = Path(market.root, "query", "0001_c1s1_001051_09.jpg")
    file.write_bytes(encoded(noise(), "EPS"))
    with pytest.raises(UserError, match=r"query/0001_c1s1_001051_09\.jpg.*is no JPEG"):
        prepare(market)


def test_one_function_alone_opens_images() -> None:
    """`Image.open` tries every format, and only warns of images beyond its limit."""
    sources = [*(ROOT / "pmm_jax").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert len(sources) > 100
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) != "Image.open", f"{path}:{node.lineno}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_every_cut_file_is_refused(kind: str) -> None:
    whole = encoded(noise(size=(40, 40)), kind)
    assert reason_of(b"").startswith("can't be decoded (the file is empty)")
    for length in {*range(1, 60), *range(60, len(whole) - 12, 37)}:
        with pytest.raises(ImageError, match=r"^it can't be decoded \(.+\); "):
            decode(whole[:length], (8, 8), "it")


def test_damage_of_any_kind_is_an_image_error_or_no_error() -> None:
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "BMP", "WEBP"):
        whole = np.frombuffer(encoded(noise(size=(20, 20)), kind), np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 3)] ^= rng.integers(1, 256, 3, dtype=np.uint8)
            with contextlib.suppress(ImageError):
                assert decode(damaged.tobytes(), (4, 4)).shape == (4, 4, 3)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises that many pixels; none of them is there."""
    whole = encoded(Image.new("L", (1, 1)), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + whole[24:29]
    crc = struct.pack(">I", zlib.crc32(header))
    return whole[:12] + header + crc + whole[33:]


def test_pixels_are_bounded_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for width, height in [(89_478_486, 1), (9460, 9460), (20_000, 20_000), (2**31 - 1, 2)]:
            expected = "has more than 89,478,485 pixels; store it smaller"
            assert reason_of(png_of_size(width, height)) == expected
        with open_image(png_of_size(89_478_485, 1)) as image:
            assert image.width == 89_478_485
    assert Image.MAX_IMAGE_PIXELS == images.MAX_PIXELS


def test_an_image_without_pixels_is_refused() -> None:
    for size in ((0, 0), (0, 5), (5, 0)):
        assert reason_of(png_of_size(*size)).startswith("can't be decoded (")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_several_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    moving = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    with open_image(moving) as image:
        assert image.n_frames == 2  # type: ignore[attr-defined]
    assert decode(moving, (1, 1)).tolist() == [[[255, 0, 0]]]


def test_the_first_of_a_camera_s_two_pictures_counts() -> None:
    pair = encoded(noise(0), "MPO", save_all=True, append_images=[noise(1)], quality=100)
    with Image.open(io.BytesIO(pair)) as image:
        assert image.n_frames == 2  # type: ignore[attr-defined]
        first = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(pair, (8, 12)), first)


# Files


def odd_files(folder: Path) -> Iterator[Path]:
    (folder / "folder.jpg").mkdir()
    yield folder / "folder.jpg"
    os.mkfifo(folder / "pipe.jpg")
    yield folder / "pipe.jpg"
    (folder / "zero.jpg").symlink_to("/dev/zero")
    yield folder / "zero.jpg"
    (folder / "random.png").symlink_to("/dev/urandom")
    yield folder / "random.png"


def test_what_is_no_regular_file_is_refused_by_name_and_not_waited_for(tmp_path: Path) -> None:
    for file in odd_files(tmp_path):
        with pytest.raises(ImageError, match=f"^{file} is a pipe, a device or a folder"):
            read_image(file)


def test_a_file_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageError, match=r"huge\.jpg is larger than 256 MiB; store it smaller"):
        read_image(tmp_path / "huge.jpg")
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    (tmp_path / "small.jpg").write_bytes(bytes(range(10)))
    assert read_image(tmp_path / "small.jpg") == bytes(range(10))


def test_a_pipe_in_a_set_is_named_by_prepare(market: DataConfig) -> None:
    os.mkfifo(Path(market.root, "query", "0001_c1s1_001051_09.jpg"))
    with pytest.raises(UserError, match=r"query/0001_c1s1_001051_09\.jpg.* is a pipe, a device"):
        prepare(market)


# EXIF


def turned(orientation: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(noise(), kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation_is_seen_and_not_applied(kind: str) -> None:
    plain = decode(encoded(noise(), kind), (8, 12))
    for orientation in range(1, 9):
        content = turned(orientation, kind)
        np.testing.assert_array_equal(decode(content, (8, 12)), plain)
        with open_image(content) as image:
            assert is_rotated(image) == (orientation != 1)


def test_images_without_exif_or_with_a_torn_one_are_not_rotated() -> None:
    with open_image(encoded(noise(), "JPEG")) as image:
        assert not is_rotated(image)
    sound = turned(6)
    with open_image(turned(0)) as image:
        assert not is_rotated(image)
    start = sound.index(b"Exif\0\0") + 6
    with open_image(sound[:start] + b"\xff" * 8 + sound[start + 8 :]) as image:
        assert not is_rotated(image)


def test_prepare_counts_rotated_images_every_time(market: DataConfig) -> None:
    for number in (3, 4):
        file = Path(market.root, "query", f"0001_c1s1_001051_0{number}.jpg")
        file.write_bytes(turned(number))
    sound = turned(6)
    start = sound.index(b"Exif\0\0") + 14
    torn = sound[:start] + b"\xff" * 4 + sound[start + 4 :]
    Path(market.root, "query", "0001_c1s1_001051_05.jpg").write_bytes(torn)
    for _ in range(2):
        lines: list[str] = []
        prepare(market, lines.append)
        (line,) = [line for line in lines if "EXIF" in line]
        assert "2 x EXIF rotation, which is not applied" in line
