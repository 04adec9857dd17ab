"""Means, spreads and intervals of random runs."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pmm_jax.ablation.grid import GridPoint, read_grid
from pmm_jax.ablation.result import Result
from pmm_jax.ablation.table import rows, write_figure, write_tables
from pmm_jax.config import Config

QUERIES = 50


def random_runs() -> tuple[list[GridPoint], dict[str, dict[int, Result]]]:
    """PMM with three seeds; no mixing, 10 points better in mAP, with two; one head with none."""
    variants = read_grid(Config(), ["pmm", "none", "baseline", "bdb"])
    rng = np.random.default_rng(0)

    def result(more: float, overlap: float) -> Result:
        values = rng.random((2, QUERIES)) * 0.5 + more
        hits = (values[0] > 0.4).astype(float)
        hits[7] = values[1, 7] = np.nan
        return Result(hits, values[1], overlap, 90.0)

    return variants, {
        "pmm": {seed: result(0, 0.25) for seed in (0, 1, 2)},
        "none": {seed: result(0.1, 0.5) for seed in (1, 2)},
        "baseline": {},
        "bdb": {0: result(0, float("nan"))},
    }


def test_rows_against_plain_means() -> None:
    variants, results = random_runs()
    pmm, none, bdb = rows(variants, results)
    assert [row.seeds for row in (pmm, none, bdb)] == [3, 2, 1]
    means = [np.nanmean(result.average_precision) for result in results["pmm"].values()]
    assert pmm.mAP.mean == pytest.approx(np.mean(means))
    assert pmm.mAP.spread == pytest.approx(np.std(means, ddof=1))
    assert pmm.mAP.difference is None
    assert none.mAP.difference is not None
    ours = np.mean([np.nanmean(results["none"][seed].average_precision) for seed in (1, 2)])
    assert none.mAP.difference.mean == pytest.approx(ours - np.mean(means[1:]))
    assert none.mAP.difference.low < none.mAP.difference.mean < none.mAP.difference.high
    assert bdb.rank1.difference is not None  # one seed: over the queries
    assert np.isnan([bdb.rank1.spread, bdb.overlap, bdb.chance]).all()
    assert 0.04 < pmm.chance < 0.07  # 3 of 32 blocks
    assert (pmm.overlap, none.overlap, pmm.minutes) == (0.25, 0.5, 1.5)


def test_files(tmp_path: Path) -> None:
    variants, results = random_runs()
    write_tables(variants, results, {"baseline, seed 0": "out of memory"}, tmp_path)
    write_figure(variants, results, tmp_path)
    text = (tmp_path / "ablation.md").read_text()
    assert "| No mixing | 2 |" in text
    assert "Failed: baseline, seed 0: out of memory" in text
    with (tmp_path / "ablation.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == ["pmm", "none", "bdb"]
    assert (lines[0]["mAP_difference"], lines[2]["overlap"]) == ("", "")
    assert float(lines[1]["mAP_low"]) < float(lines[1]["mAP_high"])
    assert (tmp_path / "ablation.svg").stat().st_size > 5000


def test_no_run_is_no_table(tmp_path: Path) -> None:
    variants, results = random_runs()
    nothing: dict[str, dict[int, Result]] = {words: {} for words in results}
    write_tables(variants, nothing, {}, tmp_path)
    write_figure(variants, nothing, tmp_path)
    assert (tmp_path / "ablation.md").read_text() == "No run is finished.\n"
