"""What is due after which step."""

import pytest

from pmm_jax.config import TrainConfig
from pmm_jax.training.schedule import RunSchedule


def schedule_of(
    epochs: int, steps: int, log: int = 10, evaluate: int = 50, save: int = 10
) -> RunSchedule:
    train = TrainConfig(
        epochs=epochs, log_every=log, evaluate_every=evaluate, checkpoint_every=save
    )
    return RunSchedule(train, steps)


def test_steps_and_epochs_count_from_1() -> None:
    schedule = schedule_of(epochs=3, steps=4)
    assert schedule.steps == 12
    assert [schedule.epoch(n) for n in range(1, 13)] == [1] * 4 + [2] * 4 + [3] * 4
    assert [n for n in range(1, 13) if schedule.ends_epoch(n)] == [4, 8, 12]


def test_calls_of_several_steps_end_where_a_line_is_due() -> None:
    schedule = schedule_of(epochs=2, steps=23, log=10)
    number, calls = 1, []
    while number <= schedule.steps:
        calls.append(schedule.steps_at_once(number, 10))
        number = calls[-1].stop
    assert [len(call) for call in calls] == 2 * [10, 10, 1, 1, 1]
    assert [len(schedule.steps_at_once(n, 1)) for n in range(1, 47)] == 46 * [1]
    assert {len(schedule.steps_at_once(n, 5)) for n in range(1, 47)} == {1, 5}


def test_logs_every_so_often_and_at_each_epochs_end() -> None:
    schedule = schedule_of(epochs=2, steps=5, log=2)
    assert [n for n in range(1, 11) if schedule.should_log(n)] == [2, 4, 5, 7, 9, 10]
    assert [n for n in range(1, 11) if schedule_of(2, 5, log=100).should_log(n)] == [5, 10]


@pytest.mark.parametrize(
    ("every", "expected"), [(1, [2, 4, 6, 8, 10]), (2, [4, 8, 10]), (9, [10]), (0, [10])]
)
def test_evaluates_at_ends_of_epochs_and_last(every: int, expected: list[int]) -> None:
    schedule = schedule_of(epochs=5, steps=2, evaluate=every, save=100)
    assert [n for n in range(1, 11) if schedule.should_eval(n)] == expected
    # Wherever it evaluates there is a checkpoint to go with the numbers.
    assert [n for n in range(1, 11) if schedule.should_save(n)] == expected


def test_saves_more_often_than_it_evaluates() -> None:
    schedule = schedule_of(epochs=5, steps=2, evaluate=3, save=2)
    assert [n for n in range(1, 11) if schedule.should_save(n)] == [4, 6, 8, 10]
