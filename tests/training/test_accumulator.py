"""Means over the steps since the last line, and the fraction of time spent waiting for batches."""

import time
from collections.abc import Iterator

import jax.numpy as jnp

from pmm_jax.training.accumulator import MetricAccumulator


def slow(seconds: float) -> Iterator[int]:
    for i in range(3):
        time.sleep(seconds)
        yield i


def test_waiting_for_batches_is_counted() -> None:
    accumulator = MetricAccumulator(batch_size=4)
    for i in accumulator.timed(slow(0.05)):
        time.sleep(0.05)
        accumulator.add({"loss": jnp.float32(i)})
    means, throughput = accumulator.close(3)
    assert means == {"loss": 1.0}
    assert 0.3 < throughput.data_wait < 0.7
    assert 0 < throughput.images_per_second < 12 / 0.3
    assert (
        accumulator.summary() == f"waited for data {throughput.data_wait:.1%} of the training time"
    )


def test_each_step_counts_once_however_many_a_call_takes() -> None:
    accumulator = MetricAccumulator(batch_size=1)
    accumulator.add({"loss": jnp.array([1.0, 2.0, 3.0])})
    accumulator.add({"loss": jnp.float32(10)})
    assert accumulator.close(4)[0] == {"loss": 4.0}


def test_a_line_is_of_the_steps_since_the_last_one() -> None:
    accumulator = MetricAccumulator(batch_size=1)
    for loss in (1.0, 5.0):
        accumulator.add({"loss": jnp.float32(loss)})
        assert accumulator.close(1)[0] == {"loss": loss}


def test_what_happens_between_lines_is_not_counted() -> None:
    accumulator = MetricAccumulator(batch_size=1)
    batches = accumulator.timed(slow(0.01))
    next(batches)
    time.sleep(0.2)
    accumulator.restart()
    accumulator.add({"loss": jnp.float32(0)})
    _, throughput = accumulator.close(1)
    assert throughput.data_wait == 0
    assert accumulator.summary() == "waited for data 0.0% of the training time"


def test_what_comes_before_the_first_batch_is_not_counted() -> None:
    accumulator = MetricAccumulator(batch_size=1)
    time.sleep(0.3)  # decoding a split, evaluating a checkpoint
    for _ in accumulator.timed(slow(0.01)):
        accumulator.add({"loss": jnp.float32(0)})
    _, throughput = accumulator.close(3)
    assert throughput.images_per_second > 3 / 0.2
