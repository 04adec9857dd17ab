"""The baseline's own evaluator against ours, which is tested against a naive loop."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")

from pmm_jax.evaluation import Embeddings, evaluate_embeddings
from pmm_jax.torch_baseline.evaluate import rank


@pytest.mark.parametrize("seed", range(5))
def test_first_matches_and_precisions_are_ours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Distances of small integers are exact in both; junk, distractors and lone queries occur.
    ids = rng.integers(0, 9, 40), rng.integers(-1, 8, 120)
    cameras = rng.integers(0, 3, 40), rng.integers(0, 3, 120)
    query, gallery = (rng.integers(0, 9, (count, 6)).astype(np.float32) for count in (40, 120))
    firsts, precisions = rank(query, gallery, ids[0], ids[1], cameras[0], cameras[1])
    ours = evaluate_embeddings(
        Embeddings(query, ids[0], cameras[0]), Embeddings(gallery, ids[1], cameras[1])
    )
    assert np.isnan(firsts).any()
    np.testing.assert_array_equal(firsts, ours.first_match)
    np.testing.assert_allclose(precisions, ours.average_precision, rtol=1e-12)
