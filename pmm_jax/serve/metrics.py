"""Counts and times of requests, in Prometheus' text format."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency's classes."""


class Histogram:
    """How many values lie at or below each of some bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """Its lines under a name; `labels` are those of all of them."""
        total, comma = 0, "," if labels else ""
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels}{comma}le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum}"
        yield f"{name}_count{{{labels}}} {total}"


class Metrics:
    """What the server has done, of the event loop's thread alone."""

    def __init__(self, batch_sizes: tuple[float, ...]) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, Histogram] = defaultdict(lambda: Histogram(SECONDS))
        self.batches = Histogram(batch_sizes)
        self.queue_length: Callable[[], int] = lambda: 0
        """How many images wait to be embedded."""

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            route: the path's pattern, never the path itself: who asks must not choose labels.
            method: of the request, likewise one that the route takes.
            status: of the answer.
            seconds: from the first line of the request to the last byte of the answer.
        """
        self._requests[route, method, status] += 1
        self._seconds[route].observe(seconds)

    def text(self) -> str:
        """All of it."""
        lines = [
            "# HELP pmm_requests_total Requests answered.",
            "# TYPE pmm_requests_total counter",
            *(
                f'pmm_requests_total{{route="{route}",method="{method}",status="{status}"}} {count}'
                for (route, method, status), count in sorted(self._requests.items())
            ),
            "# HELP pmm_request_seconds Time from a request's first line to its answer's end.",
            "# TYPE pmm_request_seconds histogram",
        ]
        for route, histogram in sorted(self._seconds.items()):
            lines += histogram.lines("pmm_request_seconds", f'route="{route}"')
        lines += [
            "# HELP pmm_batch_images Images embedded by one call.",
            "# TYPE pmm_batch_images histogram",
            *self.batches.lines("pmm_batch_images"),
            "# HELP pmm_queue_images Images that wait to be embedded.",
            "# TYPE pmm_queue_images gauge",
            f"pmm_queue_images {self.queue_length()}",
        ]
        return "\n".join(lines) + "\n"
