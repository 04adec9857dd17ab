"""A comparison as a user runs it, on a tiny network."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.ablation import ablate as module
from pmm_jax.ablation.ablate import ablate
from pmm_jax.ablation.grid import read_grid
from pmm_jax.ablation.result import read_result
from pmm_jax.config import Config
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.workdir.run_log import read_metrics
from tests.cli.entry import written

pytestmark = pytest.mark.slow


def test_methods_side_by_side(tiny: Config, tmp_path: Path) -> None:
    """One fails, the others go on; finished runs are kept when it is asked again."""
    config = replace(tiny, train=replace(tiny.train, epochs=1))
    words = ["pmm", "bdb", "a_cutmix --method.saliency-model nowhere.pth", "none --method.stages 2"]
    variants = read_grid(config, words)
    assert not ablate(variants, (0, 5), tmp_path, Display())
    text = (tmp_path / "ablation.md").read_text()
    for line in ("| A-Hard-Mix (PMM) | 2 |", "| BDB | 2 |", "| No mixing --method.stages 2 | 2 |"):
        assert line in text
    failed = "Failed: a_cutmix --method.saliency-model nowhere.pth, seed 5: "
    assert f"{failed}method.saliency_model nowhere.pth" in text
    pmm, bdb, broken, two = (tmp_path / variant.folder(5) for variant in variants)
    assert not (broken / "result.npz").exists()
    for folder, stages in ((pmm, 3), (bdb, 2), (two, 2)):
        found = {name for name in read_metrics(folder)[0] if name.startswith("triplet")}
        assert found == {f"triplet{stage}" for stage in range(1, stages + 1)}
    result, last = read_result(pmm / "result.npz"), read_metrics(pmm)[-1]
    assert 0 <= result.overlap <= 1
    assert np.nanmean(result.average_precision) == pytest.approx(last["mAP"])
    assert np.nanmean(result.hits) == pytest.approx(last["rank1"])

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.npz")}
    assert not ablate(variants, (0, 5), tmp_path, Display())
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.npz")}
    assert (tmp_path / "ablation.md").read_text() == text
    assert (tmp_path / "ablation.svg").is_file()
    other = read_grid(replace(config, optim=replace(config.optim, peak_lr=1.0)), ["pmm"])
    with pytest.raises(UserError, match="other settings"):
        ablate(other, (0,), tmp_path, Display())


def test_seeds_are_each_one(tiny: Config, tmp_path: Path) -> None:
    for seeds in ((), (1, 1)):
        with pytest.raises(UserError, match="give each once, and one at least"):
            ablate(read_grid(tiny, ["pmm"]), seeds, tmp_path, Display())


def test_a_stop_ends_the_comparison(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def stop(config: Config, folder: Path) -> None:
        started.append(config.method.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run", stop)
    with pytest.raises(KeyboardInterrupt):
        ablate(read_grid(tiny, ["pmm", "none"]), (0,), tmp_path, Display())
    assert started == ["pmm"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_comparison_that_is_ended_goes_on(
    tiny: Config, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(replace(tiny, train=replace(tiny.train, epochs=1000, evaluate_every=0)))
    command = [sys.executable, "-m", "pmm_jax", "ablate", "--config", path, "--workdir", "all"]
    command += ["--methods", "pmm", "--seeds", "0"]
    metrics = tmp_path / "all" / "pmm-seed0" / "metrics.jsonl"
    steps = 0
    for _ in range(2):
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(project)}
        ) as process:
            while not metrics.exists() or len(read_metrics(metrics.parent)) < steps + 10:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.1)
            process.send_signal(number)
            assert process.wait(60) == (130 if number == signal.SIGTERM else -number)
        steps = len(read_metrics(metrics.parent))
    assert [line["step"] for line in read_metrics(metrics.parent)] == list(range(1, steps + 1))
