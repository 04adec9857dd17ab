"""The averages of a window, and the share of its time that went into waiting for batches."""

import time
from collections.abc import Iterator

import jax.numpy as jnp

from pmm_jax.training.accumulator import MetricAccumulator


def slow(seconds: float) -> Iterator[int]:
    for i in range(3):
        time.sleep(seconds)
        yield i


def test_waiting_for_batches_is_counted() -> None:
    window = MetricAccumulator(batch_size=4)
    for i in window.timed(slow(0.05)):
        time.sleep(0.05)
        window.add({"loss": jnp.float32(i)})
    means, pace = window.close(3)
    assert means == {"loss": 1.0}
    assert 0.3 < pace.data_wait < 0.7
    assert 0 < pace.images_per_second < 12 / 0.3
    assert window.summary() == f"waited for data {pace.data_wait:.1%} of the training time"


def test_what_happens_between_windows_is_not_counted() -> None:
    window = MetricAccumulator(batch_size=1)
    batches = window.timed(slow(0.01))
    next(batches)
    time.sleep(0.2)
    window.restart()
    window.add({"loss": jnp.float32(0)})
    _, pace = window.close(1)
    assert pace.data_wait == 0
    assert window.summary() == "waited for data 0.0% of the training time"


def test_what_comes_before_the_first_batch_is_asked_for_is_not_counted() -> None:
    window = MetricAccumulator(batch_size=1)
    time.sleep(0.3)  # decoding a split, evaluating a checkpoint
    for _ in window.timed(slow(0.01)):
        window.add({"loss": jnp.float32(0)})
    _, pace = window.close(3)
    assert pace.images_per_second > 3 / 0.2
