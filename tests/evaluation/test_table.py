import json

from pmm_jax.evaluation import evaluate_distances
from pmm_jax.evaluation.table import metrics_json, metrics_table

RANKING = evaluate_distances(
    [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [1.0, 2.0, 3.0]], [1, 1, 5], [1, 2, 1], [0, 0, 0], [1, 1, 0]
)


def test_table() -> None:
    assert metrics_table(RANKING).splitlines() == [
        " Rank-1   Rank-5  Rank-10      mAP     mINP   mAP@50",
        "  50.0%   100.0%   100.0%    75.0%    75.0%    75.0%",
        "2 of 3 queries have a match",
    ]


def test_json_holds_fractions() -> None:
    read = json.loads(json.dumps(metrics_json(RANKING)))
    assert read == {
        "rank1": 0.5,
        "rank5": 1.0,
        "rank10": 1.0,
        "mAP": 0.75,
        "mINP": 0.75,
        "mAP@50": 0.75,
    }
