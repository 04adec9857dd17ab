"""Batches on the host: the right images, in the right order, whatever the threads do."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pmm_jax.config import DataConfig
from pmm_jax.data.decode import decode_split
from pmm_jax.data.loading import image_reader, ordered_batches, train_batches
from pmm_jax.data.sampler import IdentitySampler
from pmm_jax.data.split import Split
from pmm_jax.errors import UserError

SIZE = (6, 4)
DATA = DataConfig(image_size=SIZE, num_workers=2)


class Files:
    """Stands in for prepared images: PNGs of one color, and a count of what was read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.reads: list[int] = []

    def __getitem__(self, index: int) -> bytes:
        self.reads.append(index)
        file = io.BytesIO()
        Image.new("RGB", (8, 12), (index, 2 * index, 255 - index)).save(file, "PNG")
        return file.getvalue()


def split(count: int) -> Split:
    labels = np.arange(count) % 5
    return Split("train", labels, labels, [str(i) for i in range(count)], {}, "f", Files(count))


def reads(of: Split) -> list[int]:
    assert isinstance(of.source, Files)
    return of.source.reads


def expected(positions: Iterator[int] | range | np.ndarray) -> np.ndarray:
    colors = [(i, 2 * i, 255 - i) for i in positions]
    return np.array([np.full((*SIZE, 3), color) for color in colors], np.uint8)


def test_an_image_of_a_small_split_is_decoded_when_first_read() -> None:
    files = split(20)
    read = image_reader(files, DATA)
    assert reads(files) == []
    positions = np.array([3, 19, 3, 0])
    np.testing.assert_array_equal(read(positions), expected(positions))
    assert reads(files) == [0, 3, 19]
    positions = np.array([0, 7, 3])
    np.testing.assert_array_equal(read(positions), expected(positions))
    assert reads(files) == [0, 3, 19, 7]
    images = read(np.arange(20))
    images[:] = 0  # what was handed out is the caller's own
    np.testing.assert_array_equal(read(np.arange(20)), expected(range(20)))
    assert sorted(reads(files)) == list(range(20))


def test_a_large_split_is_decoded_each_time() -> None:
    room = 20 * 6 * 4 * 3 / 2**30  # exactly what the split takes
    positions = np.array([3, 19, 3, 0])
    for share, times in ((1.0, [0, 3, 19]), (0.99, [3, 19, 3, 0] * 2)):
        files = split(20)
        read = image_reader(files, replace(DATA, host_cache_gib=room * share))
        for _ in range(2):
            np.testing.assert_array_equal(read(positions), expected(positions))
        assert reads(files) == times


def test_too_little_memory_for_what_was_allowed_is_one_line() -> None:
    huge = split(20)
    wide = replace(DATA, image_size=(2**22, 2**22), host_cache_gib=2.0**40)
    for read, field in (
        (lambda: image_reader(huge, wide), "data.host_cache_gib"),
        (lambda: decode_split(huge, wide.image_size, 1), "data.device_cache_gib"),
    ):
        with pytest.raises(UserError, match=f"no 983040.0 GiB .*; set {field} below that"):
            read()
    assert reads(huge) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_training_batches_are_the_samplers_in_order(workers: int) -> None:
    files = split(20)
    sampler = IdentitySampler(files.identities, 3, 2, seed=0)
    batches = list(train_batches(image_reader(files, DATA), sampler, range(4, 11), workers))
    assert len(batches) == 7
    for step, batch in enumerate(batches, 4):
        positions = sampler.batch(step)
        np.testing.assert_array_equal(batch.images, expected(positions))
        np.testing.assert_array_equal(batch.labels, positions % 5)
        assert (batch.images.dtype, batch.labels.dtype) == (np.uint8, np.int32)


def test_no_steps_left_is_no_batches() -> None:
    files = split(20)
    sampler = IdentitySampler(files.identities, 3, 2, seed=0)
    assert list(train_batches(image_reader(files, DATA), sampler, range(9, 9), 2)) == []


@pytest.mark.parametrize(("count", "sizes"), [(7, [3, 3, 1]), (6, [3, 3]), (2, [2])])
def test_ordered_batches_are_the_whole_split_of_one_shape(count: int, sizes: list[int]) -> None:
    batches = list(ordered_batches(split(count), DATA, 3))
    assert [real for _, real in batches] == sizes
    assert {images.shape for images, _ in batches} == {(3, *SIZE, 3)}
    joined = np.concatenate([images[:real] for images, real in batches])
    np.testing.assert_array_equal(joined, expected(range(count)))
    assert not batches[-1][0][sizes[-1] :].any()


def test_a_damaged_image_is_not_passed_over() -> None:
    class Damaged(Files):
        def __getitem__(self, index: int) -> bytes:
            image = super().__getitem__(index)
            return image[:40] if index == 4 else image

    files = replace(split(6), source=Damaged(6))
    with pytest.raises(UserError) as caught:
        list(ordered_batches(files, DATA, 3))
    assert re.fullmatch(r"4 can't be decoded \(.+\); restore it .*", str(caught.value))
