"""Both sides of a comparison are ranked by config.evaluate, whatever made the embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")

from pmm_jax.comparison.compare import SIDES, compare_embeddings, train_pair
from pmm_jax.config import Config, EvaluateConfig
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.evaluate import evaluate_ranking

METHODS = {
    "cosine": EvaluateConfig(distance="cosine"),
    "no cameras": EvaluateConfig(cameras=False),
    "pooled queries": EvaluateConfig(multi_query="average"),
    "query expansion": EvaluateConfig(distance="cosine", query_expansion_k=3),
    "re-ranking": EvaluateConfig(rerank=True, k1=8, k2=3),
}


def people(seed: int) -> tuple[Embeddings, Embeddings]:
    """Query and gallery of 12 identities; the seed is of the model that embeds them."""
    noise, labels = np.random.default_rng(seed), np.random.default_rng(0)
    centers = labels.standard_normal((12, 8))

    def some(count: int) -> Embeddings:
        ids, cameras = labels.integers(0, 12, count), labels.integers(0, 3, count)
        features = centers[ids] + noise.standard_normal((count, 8))
        # Of many lengths, so that the cosine ranks unlike Euclidean distance.
        features *= noise.uniform(0.5, 2, (count, 1))
        return Embeddings(features.astype(np.float32), ids, cameras)

    return some(40), some(120)


def compared(settings: EvaluateConfig) -> dict[str, Any]:
    return compare_embeddings(Config(evaluate=settings), people(1), people(2))


@pytest.mark.parametrize("name", METHODS)
def test_both_sides_are_ranked_as_the_config_says(name: str) -> None:
    found, plain = compared(METHODS[name]), compared(EvaluateConfig())
    for side, embeddings in zip(SIDES, (people(1), people(2)), strict=True):
        alone = evaluate_ranking(*embeddings, METHODS[name])
        assert found[side]["mAP"] == alone.mAP != plain[side]["mAP"]
        assert found[side]["rank1"] == found[side]["cmc"][0] == alone.rank1
        assert found[side]["cmc"] == alone.cmc.tolist()
        assert np.nanmean(found["per_query"][side]["rank1"]) == pytest.approx(alone.rank1)
        assert found["queries"] == alone.evaluated


def test_the_difference_is_ours_less_the_baselines() -> None:
    found = compared(EvaluateConfig())
    for metric in ("rank1", "mAP"):
        difference = found["ours"][metric] - found["baseline"][metric]
        assert difference != 0
        assert found["difference"][metric]["difference"] == pytest.approx(difference)


def test_many_galleries_are_refused(tmp_path: Path) -> None:
    """Their queries have no one rank, which the paired bootstrap would need."""
    config = Config(evaluate=EvaluateConfig(single_shot=10))
    with pytest.raises(UserError, match="single_shot has many"):
        train_pair(config, tmp_path / "pair", "float32", Display(quiet=True))
