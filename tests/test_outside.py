"""A method and a data set from outside the package, a file each, in a run (tests/outside/)."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pmm_jax
from pmm_jax.config_check import check
from pmm_jax.methods import METHODS, register
from pmm_jax.methods.pmm import PMM
from pmm_jax.registry import DATASETS
from tests.data.market_set import draw


@pytest.mark.slow
def test_a_run_of_both_trains_two_steps_and_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for registry in (METHODS, DATASETS):
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    config = runpy.run_path(str(Path(__file__).parent / "outside" / "config.py"))["config"]
    for identity in range(1, 5):
        for number in range(3):
            split = "train" if identity < 3 else "gallery" if number else "query"
            draw(tmp_path / "images" / f"{split}-{identity}-{number}.png", 10 * identity + number)
    data = replace(config.data, root=str(tmp_path / "images"), cache_dir=str(tmp_path / "prepared"))
    metrics = pmm_jax.train(check(replace(config, data=data)), tmp_path / "run")
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert pmm_jax.evaluate(tmp_path / "run").mAP == pytest.approx(metrics.mAP)


def test_a_name_of_the_packages_own_is_taken() -> None:
    class Other(PMM):
        pass

    with pytest.raises(ValueError, match="pmm is a name of the package's own"):
        register(Other)
