import numpy as np
import pytest

from pmm_jax.evaluation.row import Row, others_ahead


@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("matches", [1, 7, 60])
def test_distances_that_are_known_within_an_error_rank_as_the_exact_ones(
    spread: float, matches: int
) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        exact = rng.integers(0, 40, 90).astype(np.float64)
        error = spread * rng.random(90) ** 8  # few are far off
        row = Row(exact + error * rng.uniform(-1, 1, 90), error, exact.__getitem__)
        mine = np.sort(rng.choice(90, matches, replace=False))
        others = np.setdiff1d(np.arange(90), mine)
        expected = [sum((exact[o], o) < (exact[m], m) for o in others) for m in mine]
        assert others_ahead(row, mine, others).tolist() == expected
