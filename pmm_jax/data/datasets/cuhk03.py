"""CUHK03 by the new protocol (Zhong et al., CVPR 2017), detected or labeled boxes.

Two forms are read: the CUHK03-NP folders, which copy Market-1501's layout, and cuhk-03.mat as its
authors distribute it (Li et al., CVPR 2014) beside the protocol's two configuration files.
"""

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pmm_jax.data.datasets.dataset import SplitSize
from pmm_jax.data.datasets.market1501 import MarketStyle
from pmm_jax.data.images import MAX_PIXELS, ImageError, one_line
from pmm_jax.data.records import SPLITS, Record, Scan
from pmm_jax.errors import UserError
from pmm_jax.files import printable

KINDS = ("detected", "labeled")
"""Boxes found by a detector, or drawn by hand."""

KEY = re.compile(r"(?P<pair>\d)_(?P<person>\d{3})_(?P<view>[12])_(?P<image>\d{2})\.png")
"""The protocol's `1_001_1_01.png`: camera pair, person, view, image, all from 1."""

IMAGES = ("cuhk-03.mat", "cuhk03_release/cuhk-03.mat")
PROTOCOLS = tuple(f"cuhk03_new_protocol_config_{kind}.mat" for kind in KINDS)
_HINT = "unpack cuhk03_release.zip again, and get the protocol file that belongs to it"


class _CUHK03(MarketStyle):
    """CUHK03 as images or as cuhk-03.mat; a subclass says which boxes."""

    where = (
        "get CUHK03-NP (folders detected and labeled) from "
        "https://github.com/zhunzhong07/person-re-ranking, or put cuhk-03.mat beside that "
        "repository's cuhk03_new_protocol_config_detected.mat and _labeled.mat"
    )
    label_files = IMAGES + PROTOCOLS
    # Identity, camera, image.
    pattern = re.compile(r"(?P<identity>-?\d+)_c(?P<camera>\d+)_\d+\.")
    example = "0001_c1_1.png"

    def list_images(self) -> Scan:
        """List images as `Dataset.list_images`."""
        if (self.root / self.inside).is_dir():
            return super().list_images()
        if self._images() is None:
            raise UserError(
                f"found neither a folder {self.inside} nor cuhk-03.mat under {self.root}; "
                "data.root is the folder that holds either"
            )
        protocol = self.root / f"cuhk03_new_protocol_config_{self.inside}.mat"
        if not protocol.is_file():
            raise UserError(
                f"found cuhk-03.mat but no {protocol.name} under {self.root}; get it from "
                "https://github.com/zhunzhong07/person-re-ranking (evaluation/data/CUHK03)"
            )
        return Scan(read_protocol_mat(protocol))

    def reader(self) -> Callable[[str], bytes]:
        """Return a reader as `Dataset.reader`, of the form that lies under the root."""
        images = self._images()
        if (self.root / self.inside).is_dir() or images is None:
            return super().reader()
        return MatImages(images, self.inside).read

    def _images(self) -> Path | None:
        return next((self.root / name for name in IMAGES if (self.root / name).is_file()), None)


class CUHK03Detected(_CUHK03):
    """CUHK03, new protocol: 14,097 detected boxes of 1,467 people under 2 cameras."""

    name = "cuhk03_detected"
    inside = "detected"
    published: ClassVar = {
        "train": SplitSize(7365, 767, 2),
        "query": SplitSize(1400, 700, 2),
        "gallery": SplitSize(5332, 700, 2),
    }


class CUHK03Labeled(_CUHK03):
    """CUHK03, new protocol: 14,096 hand-drawn boxes of 1,467 people under 2 cameras."""

    name = "cuhk03_labeled"
    inside = "labeled"
    published: ClassVar = {
        "train": SplitSize(7368, 767, 2),
        "query": SplitSize(1400, 700, 2),
        "gallery": SplitSize(5328, 700, 2),
    }


def read_protocol_mat(file: Path) -> dict[str, list[Record]]:
    """Records of each split by a cuhk03_new_protocol_config file (MATLAB v5, indices from 1).

    The camera is the view within the pair, 1 or 2, as in the CUHK03-NP folders.
    """
    # scipy crashes on some damaged files, which must not end this process.
    command = [sys.executable, "-P", "-c", _LOADMAT, os.path.abspath(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return _records(json.loads(done.stdout))
    except (subprocess.SubprocessError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{printable(str(file))} is no CUHK03 new-protocol file, or is damaged; get it from "
            "https://github.com/zhunzhong07/person-re-ranking (evaluation/data/CUHK03)"
        ) from error


_LOADMAT = """
import json, sys
import numpy as np
from scipy.io import loadmat
mat = loadmat(sys.argv[1], squeeze_me=True)
names = ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")
json.dump({name: np.ravel(mat[name]).tolist() for name in names}, sys.stdout)
"""
"""Program that prints the columns of a MATLAB v5 file as JSON."""


def _records(config: dict[str, list[Any]]) -> dict[str, list[Record]]:
    names, labels = config["filelist"], config["labels"]
    splits: dict[str, list[Record]] = {}
    for split in SPLITS:
        splits[split] = []
        for index in map(int, config[f"{split}_idx"]):
            if index < 1:  # Python would count from the end
                raise ValueError(f"{split}_idx holds {index}, and counts from 1")
            name = names[index - 1]
            match = KEY.fullmatch(name)
            if match is None:
                raise ValueError(f"it lists {name!r}, which is not like 1_001_1_01.png")
            splits[split].append(Record(name, int(labels[index - 1]), int(match["view"])))
    return splits


class MatImages:
    """Images of cuhk-03.mat (MATLAB v7.3, so HDF5), as PNG bytes, by their configuration name."""

    def __init__(self, file: Path, kind: str):
        import h5py

        try:
            self._file = h5py.File(file, "r")
            # A 5x1 cell of (person, image) cells; HDF5 holds MATLAB's arrays transposed.
            self._pairs = [self._file[pair][()].T for pair in self._file[kind][()].ravel()]
        # On a damaged file h5py raises many types (OSError, KeyError, TypeError, ...).
        except Exception as error:
            raise UserError(
                f"{printable(str(file))} is not cuhk-03.mat as published, or is damaged "
                f"({one_line(error)}); unpack cuhk03_release.zip again"
            ) from error
        self._kind = kind
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes:
        """The image of that name, encoded without loss.

        Raises:
          ImageError: the file holds no image there, or is damaged there.
        """
        try:
            pixels = self._pixels(name)
        # As above.
        except Exception as error:
            raise ImageError(
                name, "can't be read from cuhk-03.mat", _HINT, one_line(error)
            ) from error
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, format="PNG")
        return encoded.getvalue()

    def _pixels(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8; one of many errors where there is no such image."""
        match = KEY.fullmatch(name)
        if match is None:
            raise ValueError("its name is not like 1_001_1_01.png")
        pair, person, image = (int(match[group]) - 1 for group in ("pair", "person", "image"))
        if min(pair, person, image) < 0:  # Python would count from the end
            raise IndexError("numbers in its name count from 1")
        with self._lock:
            cell = self._file[self._pairs[pair][person, image]]
            if cell.size > 3 * MAX_PIXELS:
                raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
            pixels = np.ascontiguousarray(cell[()].T)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise ValueError(f"its {self._kind} cell holds no image")
        return pixels
