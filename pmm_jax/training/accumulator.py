"""Means of the training metrics between two lines of the log, and throughput."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.training.train_step import Metrics

T = TypeVar("T")


class Throughput(NamedTuple):
    """Throughput since the last line of the log."""

    images_per_second: float
    data_wait: float
    """Fraction of time the host waited for batches; the device may have been busy."""


class MetricAccumulator:
    """Accumulates metrics until the next line of the log; they stay on the device until then."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._total_seconds = self._total_waited = 0.0
        self.restart()

    def restart(self) -> None:
        """Clear the metrics and restart the clock."""
        self._metrics: list[Metrics] = []
        self._waited = 0.0
        self._started = time.monotonic()

    def timed(self, batches: Iterator[T]) -> Iterator[T]:
        """Yield the batches, and measure the time spent waiting for each."""
        self.restart()
        while True:
            requested = time.monotonic()
            batch = next(batches, None)
            self._waited += time.monotonic() - requested
            if batch is None:
                return
            yield batch

    def summary(self) -> str:
        """Fraction of the training time that the host waited for batches, as text."""
        waited = self._total_waited / max(self._total_seconds, 1e-9)
        return f"waited for data {waited:.1%} of the training time"

    def add(self, metrics: Metrics) -> None:
        """Add the metrics of one step, or of several, stacked."""
        self._metrics.append(metrics)

    def close(self, number: int) -> tuple[dict[str, float], Throughput]:
        """Return the means and the throughput since the last call; waits for the device.

        Raises:
            UserError: the loss is not a finite number.
        """
        parts = jax.device_get(self._metrics)
        steps = {
            name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]
        }
        means = {name: float(np.mean(values)) for name, values in steps.items()}
        seconds = time.monotonic() - self._started
        throughput = Throughput(
            len(steps["loss"]) * self._batch_size / seconds, self._waited / seconds
        )
        self._total_seconds += seconds
        self._total_waited += self._waited
        if not math.isfinite(means["loss"]):
            raise UserError(
                f"the loss is {means['loss']} at step {number}; lower optim.peak_lr or lengthen "
                "optim.warmup_epochs, in a new --workdir"
            )
        self.restart()
        return means, throughput
