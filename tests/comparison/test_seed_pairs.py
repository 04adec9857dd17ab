"""A comparison over several seeds, with stub pairs."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")

import numpy as np

from pmm_jax.comparison import compare, seeds
from pmm_jax.config import Config
from pmm_jax.display import Display


def test_each_seed_has_a_pair_and_counts_in_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds, "write", lambda *_: None)

    def train(config: Config, workdir: Path, precision: str, display: Display) -> dict[str, Any]:
        assert workdir.name == f"seed-{config.train.seed}"
        figure = config.train.seed / 10
        side = {"rank1": figure, "mAP": figure / 2}
        each = {metric: np.full(4, value) for metric, value in side.items()}
        per_query = {"ours": each, "baseline": each}
        return {"ours": side, "baseline": side, "per_query": per_query, "difference": {}}

    found = seeds.train_pairs(Config(), tmp_path, "float32", (1, 2, 6), Display(quiet=True), train)
    assert found["ours"] == pytest.approx({"rank1": 0.3, "mAP": 0.15})
    assert [run["ours"]["rank1"] for run in found["runs"]] == [0.1, 0.2, 0.6]


def test_seconds_are_medians_and_the_ratio_is_ours_over_the_baselines() -> None:
    steps = [{"seconds": pair} for pair in ((9.0, 1.0), (1.0, 4.0), (1.0, 4.0))]
    assert compare._seconds(steps) == {"ours": 1.0, "baseline": 4.0, "ratio": 0.25}
