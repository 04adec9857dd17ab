"""Detections in a video, cut out of its frames."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pmm_jax.data.images import MAX_PIXELS
from pmm_jax.errors import UserError, missing_extra
from pmm_jax.files import open_regular, printable
from pmm_jax.sources.csv_columns import read_columns
from pmm_jax.sources.source import Source, file_stamp

BOX = ("x", "y", "width", "height")
FORMATS = "asf,avi,flv,h264,hevc,ivf,matroska,mjpeg,mov,mpeg,mpegts,ogg"
"""FFmpeg's readers that may be used. Others, of playlists say, open whatever a file names."""
_HINT = "give a video file, such as .mp4, .mkv or .avi"


class VideoSource(Source):
    """Boxes in the frames of a video, a row each, by frame."""

    is_sequential = True

    def __init__(self, video: Path, detections: Path) -> None:
        """Read the boxes; opens the video, and decodes nothing.

        Args:
            video: its path.
            detections: CSV file with the columns frame (from 0, in the order in which frames are
                shown), x, y, width and height in pixels, x and y of the upper left corner.

        Raises:
            UserError: one of both can't be read, the CSV file lacks a column, or a cell of these
                columns is no number.
        """
        columns = read_columns(detections, ("frame", *BOX))
        _check_numbers(detections, columns)
        order = np.argsort(columns["frame"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        self._video = video
        sides = [columns[name].tolist() for name in BOX]
        self._boxes = [_corners(*box) for box in zip(*sides, strict=True)]
        self._frames = _Frames(video)
        places = [
            f"{video.absolute()}#frame={frame}&xywh={left},{top},{right - left},{bottom - top}"
            for frame, (left, top, right, bottom) in zip(
                columns["frame"].tolist(), self._boxes, strict=True
            )
        ]
        self.columns = {**columns, "path": np.array(places)}

    def image(self, row: int) -> np.ndarray:
        """As of Source: what of the box lies in the frame."""
        left, top, right, bottom = self._boxes[row]
        frame = self._frames.read(int(self.columns["frame"][row]))
        height, width = frame.shape[:2]
        left, right = max(left, 0), min(right, width)
        top, bottom = max(top, 0), min(bottom, height)
        if left >= right or top >= bottom:
            name = printable(str(self.columns["path"][row]))
            raise UserError(f"{name} has no pixel in the frame of {width}x{height}; take it out")
        return frame[top:bottom, left:right]

    def stamp(self, row: int) -> str:
        """As of Source: of the video."""
        return file_stamp(str(self._video))


class _Frames:
    """The frames of a video, decoded once where they are asked for in order."""

    _frame: Any
    """The last decoded frame: PyAV's, or its pixels once they were asked for."""

    def __init__(self, video: Path) -> None:
        self._video = video
        self._lock = threading.Lock()
        with _opened(video):  # what can't be opened is refused before any work
            self._start()

    def read(self, number: int) -> np.ndarray:
        """A frame, (H, W, 3) uint8 RGB.

        Raises:
            UserError: the video has no such frame, or can't be decoded so far.
        """
        with self._lock:
            if number < self._number:
                self._start()
            while self._number < number:
                self._next(number)
            if not isinstance(self._frame, np.ndarray):
                self._frame = self._frame.to_ndarray(format="rgb24")
            return self._frame

    def _start(self) -> None:
        self._decoded = _decoded(self._video)
        self._number, self._frame = -1, None

    def _next(self, wanted: int) -> None:
        frame = next(self._decoded, None)
        if frame is None:
            raise UserError(
                f"{self._video} has no frame {wanted}: it has {self._number + 1}, numbered from 0"
            )
        self._number, self._frame = self._number + 1, frame


@contextmanager
def _opened(video: Path) -> Iterator[Any]:
    """PyAV's container of a video, whose errors within become a line."""
    try:
        import av
    except ImportError as error:
        raise missing_extra("a video", "video") from error
    try:
        # From an open file: a name could be taken for an address.
        with (
            open_regular(video) as file,
            av.open(file, "r", options={"format_whitelist": FORMATS}) as container,
        ):
            if not container.streams.video:
                raise UserError(f"{video} holds no pictures; {_HINT}")
            yield container
    except av.FFmpegError as error:
        raise UserError(f"{video} can't be read as a video ({error.strerror}); {_HINT}") from error
    except OSError as error:
        raise UserError(f"can't read {video}: {error.strerror or error}") from error


def _decoded(video: Path) -> Iterator[Any]:
    """The frames of a video in the order in which they are shown."""
    with _opened(video) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.width * frame.height > MAX_PIXELS:
                raise UserError(f"{video} has frames of more than {MAX_PIXELS:,} pixels; {_HINT}")
            yield frame


def _check_numbers(detections: Path, columns: dict[str, np.ndarray]) -> None:
    if "path" in columns:
        raise UserError(
            f"{detections}: a column can't be called path here, which names the video; rename it"
        )
    frame = columns["frame"]
    if frame.dtype.kind != "i" or frame.min() < 0:
        raise UserError(f"{detections}: column frame must hold integers from 0 on")
    for name in BOX:
        if columns[name].dtype.kind not in "if":
            raise UserError(f"{detections}: column {name} must hold numbers")


def _corners(x: float, y: float, width: float, height: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box, each at the nearest edge of a pixel."""
    left, top, right, bottom = (math.floor(value + 0.5) for value in (x, y, x + width, y + height))
    return left, top, right, bottom
