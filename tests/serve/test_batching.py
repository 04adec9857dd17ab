"""Requests that wait at once share one call."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from pmm_jax.serve.batching import Batcher
from pmm_jax.serve.embedder import Embedder


class Slow:
    """Doubles numbers, as slowly as the test wants; notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.goes_on = threading.Event()

    def __call__(self, items: list[int]) -> list[int | Exception]:
        self.batches.append(items)
        assert self.goes_on.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [KeyError(item) if item < 0 else 2 * item for item in items]


def batched(
    scenario: Callable[[Slow, Batcher[int, int]], Coroutine[Any, Any, None]], most: int = 4
) -> Slow:
    async def whole() -> Slow:
        slow = Slow()
        batcher: Batcher[int, int] = Batcher(slow, lambda waiting: min(waiting, most))
        try:
            await asyncio.wait_for(scenario(slow, batcher), 10)
        finally:
            slow.goes_on.set()
            batcher.close()
        return slow

    return asyncio.run(whole())


async def busy(slow: Slow, batcher: Batcher[int, int]) -> "asyncio.Task[int]":
    """A first call, which holds the thread."""
    first = asyncio.create_task(batcher(0))
    while not slow.batches:
        await asyncio.sleep(0.001)
    return first


def test_what_waits_is_one_batch() -> None:
    async def scenario(slow: Slow, batcher: Batcher[int, int]) -> None:
        first = await busy(slow, batcher)
        others = [asyncio.create_task(batcher(number)) for number in range(1, 8)]
        await asyncio.sleep(0)
        assert len(batcher) == 7
        slow.goes_on.set()
        assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10, 12, 14]
        # Idle again, it starts anew.
        assert await batcher(9) == 18

    assert batched(scenario).batches == [[0], [1, 2, 3, 4], [5, 6, 7], [9]]


def test_whoever_leaves_takes_nobody_along() -> None:
    async def scenario(slow: Slow, batcher: Batcher[int, int]) -> None:
        first = await busy(slow, batcher)
        waiting = [asyncio.create_task(batcher(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        first.cancel()  # in the middle of its call
        waiting[1].cancel()  # ahead of it
        await asyncio.sleep(0)
        slow.goes_on.set()
        assert await asyncio.gather(waiting[0], waiting[2]) == [2, 6]

    assert batched(scenario).batches == [[0], [1, 3]]


def test_an_error_is_that_item_s_or_that_batch_s() -> None:
    async def scenario(slow: Slow, batcher: Batcher[int, int]) -> None:
        slow.goes_on.set()
        found = await asyncio.gather(*map(batcher, (1, -2, 3)), return_exceptions=True)
        assert [found[0], found[2]] == [2, 6]
        assert isinstance(found[1], KeyError)
        found = await asyncio.gather(*map(batcher, (4, 13)), return_exceptions=True)
        assert [type(one) for one in found] == [ValueError, ValueError]
        assert await batcher(5) == 10

    batched(scenario)


class Counted:
    """A model that notes its batches."""

    image_size = (2, 1)

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def embed(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        self.calls.append((len(images), batch_size))
        return images.reshape(len(images), -1).astype(np.float32)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        # An accelerator: the largest batch costs hardly more.
        ({1: 1.0, 8: 1.1, 32: 1.2}, {1: 1, 2: 2, 8: 8, 9: 9, 31: 31, 100: 32}),
        # A CPU: empty places cost as much as images.
        ({1: 1.0, 8: 7.0, 32: 28.0}, {1: 1, 2: 1, 7: 1, 8: 8, 20: 8, 32: 8, 100: 8}),
    ],
)
def test_a_size_is_chosen_by_what_it_costs(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], expected: dict[int, int]
) -> None:
    monkeypatch.setattr("pmm_jax.serve.embedder.SIZES", tuple(seconds))
    model: Any = Counted()
    embedder = Embedder(model)
    embedder._seconds = seconds
    assert {waiting: embedder.size(waiting) for waiting in expected} == expected


def test_only_sizes_that_were_warmed_up_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (1, 8, 32)
    monkeypatch.setattr("pmm_jax.serve.embedder.SIZES", sizes)
    model: Any = Counted()
    embedder = Embedder(model)
    embedder.warm_up()
    assert {size for _, size in model.calls} == set(sizes)
    for count in range(1, 33):
        images = [np.full((2, 1, 3), number, np.uint8) for number in range(count)]
        assert [one[0] for one in embedder.embed(images)] == list(range(count))
    assert {size for _, size in model.calls} == set(sizes)
