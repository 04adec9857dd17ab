"""The command as a user runs it: both trained, evaluated and written down."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the baseline is PyTorch (requirements-torch.txt)")

from pmm_jax.comparison import compare
from pmm_jax.comparison.page import verdict
from pmm_jax.comparison.pair import Pair
from pmm_jax.comparison.paired_step import PairedStep
from pmm_jax.comparison.seeds import train_pairs
from pmm_jax.config import Config
from pmm_jax.data.loading import Batch
from pmm_jax.display import Display
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.training import loop

pytestmark = pytest.mark.slow
STEPS = 6


@pytest.fixture(scope="module")
def compared(tiny: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    workdir = tmp_path_factory.mktemp("compare") / "pair"
    result = compare.train_pair(tiny, workdir, "float32", Display())
    compare.write(result, workdir)
    return workdir, result


def test_it_writes_what_it_promises(compared: tuple[Path, dict]) -> None:
    workdir, result = compared
    read = json.loads((workdir / "comparison.json").read_text())
    for side in ("ours", "baseline"):
        assert 0 <= read[side]["mAP"] <= 1
        assert len(read[side]["cmc"]) == 50
        assert read["peak_memory_bytes"][side] > 2**27
        assert read["seconds_per_step"][side] > 0
    memory = read["peak_memory_bytes"]
    assert memory["ours"] != memory["baseline"]  # each its own, not what this process holds
    for metric in ("rank1", "mAP"):
        interval = read["difference"][metric]
        difference = read["ours"][metric] - read["baseline"][metric]
        assert interval["difference"] == pytest.approx(difference)
        assert interval["low"] <= interval["difference"] <= interval["high"]
    lines = (workdir / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, STEPS + 1))
    assert result["largest_early_difference"] == max(json.loads(x)["difference"] for x in lines)
    assert {"ours.safetensors", "baseline.pth.tar"} <= {path.name for path in workdir.iterdir()}


def test_the_page_asks_for_nothing_from_outside(compared: tuple[Path, dict]) -> None:
    page = (compared[0] / "comparison.html").read_text()
    assert page.count("<svg role=") == 3
    fetched = re.findall(r'(?:src|href)="(?!#)([^"]*)"|url\((?!#)([^)]*)\)', page)
    assert fetched == []
    assert "<script" not in page


def test_the_same_command_goes_on(
    compared: tuple[Path, dict], tiny: Config, tmp_path: Path
) -> None:
    """Stopped after its third step, the pair ends where the other one did."""
    workdir = tmp_path / "pair"
    taken: list[int] = []

    class Stopped(Pair):
        def run(self, batches: Iterable[Batch], first: int = 1) -> Iterator[PairedStep]:
            for step in super().run(batches, first):
                taken.append(step.number)
                if len(taken) == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "Pair", Stopped)
        with pytest.raises(Interrupted, match="after step 3 of 6"):
            compare.train_pair(tiny, workdir, "float32", Display())
        with (workdir / "steps.jsonl").open("a") as file:
            file.write('{"step": 4, "ou')  # a kill in the middle of a line
        with pytest.raises(UserError, match="holds a run of compare --precision float32, not of"):
            compare.train_pair(tiny, workdir, "float64", Display())
        compare.train_pair(tiny, workdir, "float32", Display())
    assert taken == list(range(1, STEPS + 1))
    assert steps(workdir) == steps(compared[0])


def test_it_starts_from_the_weights_that_the_config_names(
    compared: tuple[Path, dict], tiny: Config, tmp_path: Path
) -> None:
    model = replace(tiny.model, weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(UserError, match=r"none\.safetensors"):
        compare.train_pair(replace(tiny, model=model), tmp_path / "pair", "float32", Display())
    model = replace(tiny.model, compute_dtype="bfloat16")
    with pytest.raises(UserError, match="no bfloat16"):
        compare.train_pair(replace(tiny, model=model), tmp_path / "pair", "float32", Display())


def steps(workdir: Path) -> list[tuple[dict, dict]]:
    """The losses alone: times differ."""
    lines = (workdir / "steps.jsonl").read_text().splitlines()
    return [(json.loads(line)["ours"], json.loads(line)["baseline"]) for line in lines]


def test_a_run_against_a_checkpoint(
    compared: tuple[Path, dict], tiny: Config, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    loop.train(tiny, workdir)
    result = compare.against(tiny, workdir, compared[0] / "baseline.pth.tar", Display())
    compare.write(result, workdir)
    assert result["baseline"] == compared[1]["baseline"]
    # The run drew what the pair drew, so it is the pair's own side again, up to rounding.
    assert result["ours"]["mAP"] == pytest.approx(compared[1]["ours"]["mAP"], abs=0.05)
    assert (workdir / "comparison.html").read_text().count("<svg role=") == 1


def test_a_pair_without_its_other_half_says_so(
    compared: tuple[Path, dict], tiny: Config, tmp_path: Path
) -> None:
    workdir = tmp_path / "pair"
    shutil.copytree(compared[0], workdir)
    for half in workdir.glob("baseline-*.pt"):
        half.unlink()
    with pytest.raises(UserError, match="PyTorch's half of the checkpoint"):
        compare.train_pair(tiny, workdir, "float32", Display())


def test_a_loss_that_is_no_number_ends_it(tiny: Config, tmp_path: Path) -> None:
    class Broken(Pair):
        def run(self, batches: Iterable[Batch], first: int = 1) -> Iterator[PairedStep]:
            for step in super().run(batches, first):
                yield replace(step, baseline=step.baseline | {"loss": float("nan")})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "Pair", Broken)
        with pytest.raises(UserError, match="PyTorch's loss is nan at step 1; lower"):
            compare.train_pair(tiny, tmp_path / "pair", "float32", Display())


def test_other_methods_and_checkpoints_are_refused(
    compared: tuple[Path, dict], tiny: Config, tmp_path: Path
) -> None:
    baseline = replace(tiny, method=replace(tiny.method, name="baseline"))
    with pytest.raises(UserError, match="must be pmm, not baseline"):
        compare.train_pair(baseline, tmp_path / "pair", "float32", Display())
    neck = replace(tiny, model=replace(tiny.model, neck="bnneck"))
    with pytest.raises(UserError, match="the paper's network; model has neck bnneck"):
        compare.train_pair(neck, tmp_path / "pair", "float32", Display())
    mined = replace(tiny, method=replace(tiny.method, mining="hardest"))
    with pytest.raises(UserError, match=r"set method\.mining to random"):
        compare.train_pair(mined, tmp_path / "pair", "float32", Display())
    averaged = replace(tiny, optim=replace(tiny.optim, ema_decay=0.9))
    with pytest.raises(UserError, match="leave out ema_decay"):
        compare.train_pair(averaged, tmp_path / "pair", "float32", Display())
    centered = replace(tiny, method=replace(tiny.method, center_loss=5e-4))
    with pytest.raises(UserError, match="leave out center_loss"):
        compare.train_pair(centered, tmp_path / "pair", "float32", Display())
    frozen = replace(tiny, optim=replace(tiny.optim, freeze_steps=1))
    with pytest.raises(UserError, match="leave out freeze_steps"):
        compare.train_pair(frozen, tmp_path / "pair", "float32", Display())
    (tmp_path / "x.safetensors").write_bytes(b"hello")
    with pytest.raises(UserError, match="neither a safetensors nor a PyTorch file"):
        compare.against(tiny, compared[0], tmp_path / "x.safetensors", Display())


def test_the_verdict_names_what_differs(compared: tuple[Path, dict]) -> None:
    result = dict(compared[1])
    result["difference"] = {
        "rank1": {"difference": 0.02, "low": 0.01, "high": 0.03},
        "mAP": {"difference": 0.0, "low": -0.01, "high": 0.01},
    }
    assert verdict(result) == "They differ by more than the variance over queries in Rank-1."
    result["difference"]["rank1"]["low"] = -0.01
    assert "both intervals hold 0" in verdict(result)
    assert not np.isnan(result["ours"]["mAP"])


def test_several_seeds_count_the_variance_over_seeds(
    compared: tuple[Path, dict], tiny: Config, tmp_path: Path
) -> None:
    """Three stub pairs, in which PyTorch is better by 10, 0 and 20 points on every query."""
    better = {4: 0.1, 5: 0.0, 9: 0.2}

    def train(config: Config, workdir: Path, precision: str, display: Display) -> dict:
        workdir.mkdir(parents=True)
        ours = compared[1]["per_query"]["ours"]
        theirs = {metric: value + better[config.train.seed] for metric, value in ours.items()}
        return compared[1] | {"per_query": {"ours": ours, "baseline": theirs}}

    result = train_pairs(tiny, tmp_path, "float32", tuple(better), Display(), train)
    assert [run["seed"] for run in result["runs"]] == list(better)
    # Student's t of 3 values: 4.3027 * 10 / sqrt(3).
    for metric in ("rank1", "mAP"):
        interval = result["difference"][metric]
        assert interval["difference"] == pytest.approx(-0.1)
        assert interval["low"] == pytest.approx(-0.1 - 0.24842, abs=1e-4)
        assert interval["high"] == pytest.approx(-0.1 + 0.24842, abs=1e-4)
    assert "queries and seeds" in verdict(result)
    compare.write(result, tmp_path)
    page = (tmp_path / "comparison.html").read_text()
    assert "mean of\n3 seeds" in page
    assert {path.name for path in tmp_path.glob("seed-*/comparison.html")} == {"comparison.html"}
    assert len(list(tmp_path.glob("seed-*/comparison.json"))) == 3
    read = json.loads((tmp_path / "comparison.json").read_text())
    assert [run["seed"] for run in read["runs"]] == list(better)


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 1)])
def test_seeds_that_say_nothing_are_refused(
    tiny: Config, tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    with pytest.raises(UserError, match="give two or more, each once"):
        train_pairs(tiny, tmp_path, "float32", seeds, Display())
