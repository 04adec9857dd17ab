import numpy as np
import pytest

from pmm_jax.evaluation.bootstrap import paired_bootstrap


def test_equals_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random(50), rng.random(50)
    interval = paired_bootstrap(one, other, seed=3, draws=20_000)
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
    interval = paired_bootstrap(one + 0.01, one, seed=0, draws=500)
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
