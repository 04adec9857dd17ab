"""Boxes in a video."""

import sys
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.sources import Source, open_source

BOXES = """\
frame,x,y,width,height,track,note
3,1,2,10,20,7,a
0,-5,-5,20,20,8,b
3,50,40,10.4,20,7,
9,0,0,64,48,1,
40,0,0,5,5,1,
5,100,100,5,5,1,
6,1,1,0,9,1,x
"""


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 48, 56, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, frames: np.ndarray) -> Path:
    """With v.mkv, losslessly encoded, and its boxes."""
    av = pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("video")
    with av.open(str(folder / "v.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 56, "bgr0"
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (folder / "boxes.csv").write_text(BOXES)
    return folder


@pytest.fixture
def source(folder: Path) -> Source:
    return open_source(str(folder / "v.mkv"), str(folder / "boxes.csv"))


def test_rows_are_by_frame_with_all_columns(source: Source, folder: Path) -> None:
    assert source.columns["frame"].tolist() == [0, 3, 3, 5, 6, 9, 40]
    assert source.columns["track"].tolist() == [8, 7, 7, 1, 1, 1, 1]
    assert source.columns["note"].tolist() == ["b", "a", "", "", "x", "", ""]
    assert source.columns["path"][1] == f"{folder}/v.mkv#frame=3&xywh=1,2,10,20"


def test_a_box_is_cut_out_of_its_frame(source: Source, frames: np.ndarray) -> None:
    # In another order, too: frames behind the last one are decoded from the start.
    for row, expected in (
        (1, frames[3, 2:22, 1:11]),
        (2, frames[3, 40:, 50:]),
        (0, frames[0, :15, :15]),
        (5, frames[9]),
    ):
        np.testing.assert_array_equal(source.image(row), expected)
    assert source.is_sequential


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (3, r"frame=5&xywh=100,100,5,5 has no pixel in the frame of 56x48"),
        (4, r"xywh=1,1,0,9 has no pixel"),
        (6, r"has no frame 40: it has 10, numbered from 0"),
    ],
)
def test_a_box_without_pixels_is_named(source: Source, row: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        source.image(row)


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ("frame,x,y,width\n1,1,1,1\n", "has no column height"),
        ("frame,x,y,width,height\n-1,1,1,1,1\n", "column frame must hold integers from 0 on"),
        ("frame,x,y,width,height\n1.5,1,1,1,1\n", "column frame must hold integers"),
        ("frame,x,y,width,height\n1,left,1,1,1\n", "column x must hold numbers"),
        ("frame,x,y,width,height,path\n1,1,1,1,1,a\n", "can't be called path"),
    ],
)
def test_boxes_that_are_none(folder: Path, tmp_path: Path, boxes: str, said: str) -> None:
    (tmp_path / "boxes.csv").write_text(boxes)
    with pytest.raises(UserError, match=said):
        open_source(str(folder / "v.mkv"), str(tmp_path / "boxes.csv"))


def test_what_is_no_video(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # FFmpeg would open what such a list names.
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile v.mkv\n")
    monkeypatch.chdir(folder)
    for name in ("a.mp4", f"{folder}/boxes.csv"):
        with pytest.raises(UserError, match="can't be read as a video"):
            open_source(str(tmp_path / name), str(folder / "boxes.csv"))
    with pytest.raises(UserError, match=r"can't read .*none.mp4: No such file"):
        open_source(str(tmp_path / "none.mp4"), str(folder / "boxes.csv"))


def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r'pip install "pmm_jax\[video\]"'):
        open_source(str(folder / "v.mkv"), str(folder / "boxes.csv"))
