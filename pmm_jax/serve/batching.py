"""Requests that wait at once become one call."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Calls a function on several items at once, in a thread of its own.

    A batch is what waits when the call before it has ended: no item waits for others to come. An
    item whose caller has gone is left out, and the others get their results all the same.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result | Exception]],
        size: Callable[[int], int],
        observe: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Make a batcher without work.

        Args:
            run: items to a result each, in their order; an exception in a result's place is that
                item's alone.
            size: how many of so many items to take at once.
            observe: is told the number of items of each batch.
        """
        self._run, self._size, self._observe = run, size, observe
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._thread = ThreadPoolExecutor(1)
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    async def __call__(self, item: Item) -> Result:
        """The result for an item; raises what the function raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def run_alone(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call another function in the thread, between two batches."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def _work(self) -> None:
        while batch := self._next():
            self._observe(len(batch))
            items = [item for item, _ in batch]
            results: Sequence[Result | Exception]
            try:
                results = await self.run_alone(self._run, items)
            except Exception as error:  # each caller gets it, and the next batch its turn
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # its caller has gone
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        self._worker = None

    def _next(self) -> list[tuple[Item, "asyncio.Future[Result]"]]:
        """The next batch, empty where nothing waits."""
        self._waiting = deque(pair for pair in self._waiting if not pair[1].done())
        count = self._size(len(self._waiting)) if self._waiting else 0
        return [self._waiting.popleft() for _ in range(count)]
