"""Folder sets and CSV sets of any names and layout: prepared, or refused in one line."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data.prepare import prepare
from pmm_jax.data.records import SPLITS
from pmm_jax.data.split import open_split
from tests.fuzz.outcome import empty_folder, files_below, outcome
from tests.fuzz.strategies import csv_files, folder_sets


def image(number: int) -> bytes:
    """A small JPEG of its own."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


IMAGES = [image(number) for number in range(16)]


def prepared_or_refused(config: DataConfig) -> None:
    """Both leave a whole state: every split readable, or none there."""
    said: list[str] = []
    before = files_below(Path())
    found = outcome(lambda: prepare(config, said.append))
    assert len(said) < 60
    if isinstance(found, str):
        added = files_below(Path()) - before
        # The list of what is odd is for the user; a lock holds nothing.
        assert {Path(path).suffix for path in added} <= {".txt", ".lock"}, added
        return
    for name in SPLITS:
        split = outcome(lambda name=name: open_split(config, name))  # type: ignore[misc]
        if isinstance(split, str):
            assert f"no {name} images" in split
            continue
        for position in range(len(split)):
            assert split.read(position) in IMAGES
        assert len(split.identities) == len(split.cameras) == len(split)


SETTINGS = st.builds(
    DataConfig,
    name=st.just("folder"),
    root=st.just("set"),
    cache_dir=st.just("prepared"),
    train_fraction=st.sampled_from([0.5, 0.5, 0.0, 0.01, 1.0]),
    cameras=st.sampled_from(["read", "ignore"]),
    allow_duplicates=st.booleans(),
)


@given(folder_sets(), SETTINGS)
def test_a_folder(paths: list[str], config: DataConfig) -> None:
    with empty_folder():
        os.mkdir("set")
        for number, path in enumerate(paths):
            target = Path("set", path)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(IMAGES[number % 12])  # a few are copies
            except OSError:  # a folder of that name, or a file where a folder should be
                continue
        prepared_or_refused(config)


@given(csv_files(), SETTINGS)
def test_a_csv_file(text: bytes, config: DataConfig) -> None:
    with empty_folder():
        os.mkdir("set")
        for number in range(6):
            Path("set", f"{number}.jpg").write_bytes(IMAGES[number])
        Path("set", "set.csv").write_bytes(text)
        prepared_or_refused(replace(config, root="set/set.csv"))
