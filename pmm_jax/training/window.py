"""The averages of one training line."""

import math
import time

import jax
import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.training.step import Metrics


class Window:
    """The metrics since the last training line; they stay on the device until it is written."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.restart()

    def restart(self) -> None:
        """Begin anew, the clock too."""
        self._metrics: list[Metrics] = []
        self._started = time.monotonic()

    def add(self, metrics: Metrics) -> None:
        """One step's metrics."""
        self._metrics.append(metrics)

    def close(self, number: int) -> tuple[dict[str, float], float]:
        """Means over the window and images a second; waits for the device.

        Raises:
            UserError: the loss is not a finite number.
        """
        steps = jax.device_get(self._metrics)
        means = {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}
        speed = len(steps) * self._batch_size / (time.monotonic() - self._started)
        if not math.isfinite(means["loss"]):
            raise UserError(
                f"the loss is {means['loss']} at step {number}; lower optim.peak_lr or lengthen "
                "optim.warmup_epochs, in a new --workdir"
            )
        self.restart()
        return means, speed
