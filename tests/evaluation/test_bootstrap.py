import numpy as np
import pytest

from pmm_jax.evaluation.bootstrap import paired_bootstrap, runs_interval


def test_equals_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random(50), rng.random(50)
    interval = paired_bootstrap(one, other, seed=3, n_resamples=20_000)
    draw = np.random.default_rng(9)
    means = []
    for _ in range(20_000):
        queries = [int(draw.integers(50)) for _ in range(50)]
        means.append(sum(one[q] - other[q] for q in queries) / 50)
    assert interval.mean == pytest.approx(np.mean(one) - np.mean(other))
    assert interval.low == pytest.approx(np.quantile(means, 0.025), abs=0.004)
    assert interval.high == pytest.approx(np.quantile(means, 0.975), abs=0.004)


def test_pairing_makes_a_constant_difference_certain() -> None:
    one = np.random.default_rng(0).random(30)
    interval = paired_bootstrap(one + 0.01, one, seed=0, n_resamples=500)
    assert interval.low == pytest.approx(0.01)
    assert interval.high == pytest.approx(0.01)
    assert not interval.holds_zero


def test_queries_without_a_match_are_left_out() -> None:
    one, other = np.array([1.0, np.nan, 0.0, 1.0]), np.array([0.0, np.nan, 1.0, 1.0])
    interval = paired_bootstrap(one, other, seed=0)
    assert interval.mean == 0
    assert interval.holds_zero


def test_the_seed_decides() -> None:
    one, other = np.random.default_rng(0).random((2, 40))
    assert paired_bootstrap(one, other, 1) == paired_bootstrap(one, other, 1)
    assert paired_bootstrap(one, other, 1) != paired_bootstrap(one, other, 2)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ([1.0, np.nan], [1.0, 0.0], "different queries"),
        ([1.0, 0.0], [1.0], "different queries"),
        ([np.nan], [np.nan], "no query"),
    ],
)
def test_other_queries_are_refused(one: list, other: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        paired_bootstrap(np.array(one), np.array(other), seed=0)


def test_the_interval_over_runs_holds_the_truth_as_often_as_it_says() -> None:
    """Two methods whose runs differ by their seeds alone, and by 0.1, drawn many times."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        query_effect = rng.normal(0, 1, 200)
        run_effect = rng.normal(0, 0.05, (2, 4, 1))
        noise = rng.normal(0, 0.3, (2, 4, 200))
        one, other = query_effect + run_effect + noise
        interval = runs_interval(one + 0.1, other)
        held += interval.low <= 0.1 <= interval.high
    assert 0.94 <= held / 1000 <= 0.995


@pytest.mark.parametrize(
    ("runs", "student"), [(2, 12.70620), (3, 4.302653), (5, 2.776445), (30, 2.045230)]
)
def test_the_interval_over_runs_is_its_formula(runs: int, student: float) -> None:
    """Student's t as tables of it have it, 97.5 %, for runs - 1 degrees of freedom."""
    one, other = np.random.default_rng(runs).random((2, runs, 40))
    one[:, 7] = other[:, 7] = np.nan
    difference = np.delete(one - other, 7, axis=1)
    by_run = [sum(row) / 39 for row in difference]
    by_query = [sum(column) / runs for column in difference.T]
    mean = sum(by_run) / runs
    variance_of_runs = sum((value - mean) ** 2 for value in by_run) / (runs - 1)
    variance_of_queries = sum((value - mean) ** 2 for value in by_query) / 39
    half = np.sqrt(student**2 * variance_of_runs / runs + 1.959964**2 * variance_of_queries / 39)
    found = runs_interval(one, other)
    assert found == pytest.approx((mean, mean - half, mean + half), rel=1e-5)


@pytest.mark.parametrize("runs", [2, 3, 6])
def test_training_runs_alone_are_held_95_percent_of_the_time(runs: int) -> None:
    """All queries move together, so that nothing else varies and the interval is exact."""
    rng = np.random.default_rng(0)
    trials, held = 4000, 0
    for _ in range(trials):
        one, other = np.repeat(rng.normal(0, 1, (2, runs, 1)), 2, axis=2)
        interval = runs_interval(one, other)
        held += interval.low <= 0 <= interval.high
    assert abs(held / trials - 0.95) < 4 * np.sqrt(0.95 * 0.05 / trials)


def test_the_variance_over_queries_counts_where_all_runs_agree() -> None:
    one, other = np.random.default_rng(1).random((2, 400))
    runs = runs_interval(np.stack([one] * 3), np.stack([other] * 3))
    queries = paired_bootstrap(one, other, seed=0)
    assert runs == pytest.approx(queries, abs=2e-3)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ([[1.0, 0.0]], [[1.0, 0.0]], "2 runs or more"),
        ([[1.0, 0.0]] * 2, [[1.0]] * 2, "2 runs or more"),
        ([[1.0, np.nan], [1.0, 0.0]], [[1.0, np.nan]] * 2, "different queries"),
        ([[np.nan]] * 2, [[np.nan]] * 2, "no query"),
    ],
)
def test_other_runs_are_refused(one: list, other: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        runs_interval(np.array(one), np.array(other))


def test_the_interval_over_runs_by_hand() -> None:
    """Two runs of four queries: Student's t at 1 degree of freedom, and a normal over queries."""
    one = np.array([[0.9, 0.5, np.nan, 0.7, 0.1], [0.8, 0.7, np.nan, 0.9, 0.2]])
    other = np.array([[0.7, 0.5, np.nan, 0.6, 0.0], [0.4, 0.4, np.nan, 0.9, 0.1]])
    runs = [(0.2 + 0.0 + 0.1 + 0.1) / 4, (0.4 + 0.3 + 0.0 + 0.1) / 4]
    queries = [0.3, 0.15, 0.05, 0.1]
    mean = sum(runs) / 2
    # Of a sample of runs, so over one fewer than there are.
    by_run = 12.7062047 * (sum((run - mean) ** 2 for run in runs) / 1) ** 0.5 / 2**0.5
    by_query = 1.9599640 * (sum((q - mean) ** 2 for q in queries) / 4) ** 0.5 / 4**0.5
    half = (by_run**2 + by_query**2) ** 0.5
    found = runs_interval(one, other)
    assert found == pytest.approx((mean, mean - half, mean + half), rel=1e-6)
    wider = runs_interval(one, other, level=0.99)
    assert wider.low < found.low
    assert wider.high > found.high
