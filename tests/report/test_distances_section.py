import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pmm_jax.config import Config, EvaluateConfig
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, roc
from pmm_jax.evaluation.pair_distances import pair_distances
from pmm_jax.evaluation.protocols import without_cameras
from pmm_jax.report.page import write_page
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Section
from pmm_jax.report.sections import distances
from tests.evaluation.people import people


def page_of(query: Embeddings, gallery: Embeddings, path: Path) -> tuple[str, dict[str, Any]]:
    """The page with this section alone, and its numbers."""
    subject = SimpleNamespace(
        name="run",
        subtitle="",
        display=Display(quiet=True),
        missing={},
        ranked=(query, gallery),
        config=Config(evaluate=EvaluateConfig(rerank=True)),
    )
    section = Section("distances", "Distances", distances.build)
    write_page(cast(RunData, subject), [section], path)
    values = json.loads(path.with_suffix(".json").read_text())["distances"]
    return path.read_text(), values


def test_the_page_shows_each_rate_as_eval_does(tmp_path: Path) -> None:
    both = people(0, 90, 12, 32, 1.2), people(1, 400, 12, 32, 1.2)
    page, values = page_of(*both, tmp_path / "page.html")
    rates = roc(*both)
    told = {row["rate"]: row["true_positive_rate"] for row in values["rows"] if row["told"]}
    assert told == {rate: rates[rate] for rate in (1e-2, 1e-3)}
    assert all(f"{100 * rate:.1f} %" in page for rate in told.values())
    squares = {point.rate: point.threshold for point in pair_distances(*both, 512, 0).points}
    for row in values["rows"][:2]:
        assert row["threshold"] ** 2 == pytest.approx(squares[row["rate"]])
    assert page.count("can't be told: it allows 2 false pairs, and 10 are needed") == 1
    assert "rerank changes nothing here" in page
    assert "too many pairs" not in page
    assert "a match, which another camera took." in page


def test_without_cameras_no_other_one_took_a_match(tmp_path: Path) -> None:
    one, other = people(0, 90, 12, 32, 1.2), people(1, 400, 12, 32, 1.2)
    page, values = page_of(*without_cameras(one, other), tmp_path / "page.html")
    assert values["no_cameras"]
    assert "pairs of a query and a match. Different" in page


def test_a_rate_is_told_from_ten_false_pairs_on() -> None:
    both = people(0, 90, 12, 32, 1.2), people(1, 400, 12, 32, 1.2)
    found = pair_distances(*both, 512, 0)
    for allowed, told in ((9, False), (10, True)):
        points = [point._replace(allowed=allowed) for point in found.points]
        rows = distances.describe(replace(found, points=points))["rows"]
        assert [row["told"] for row in rows] == [told] * 3


def test_bars_share_out_all_pairs() -> None:
    both = people(0, 90, 12, 32, 1.2), people(1, 400, 12, 32, 1.2)
    bars = distances.describe(pair_distances(*both, 512, 0))["bars"]
    for kind in ("same", "different"):
        assert np.sum(bars[kind]) == pytest.approx(1)
    assert 30 < len(bars["same"]) == len(bars["from"]) <= distances.BARS
    assert bars["same"][-1] == 0 < bars["different"][-1]
    assert bars["same"][0] > 0 == bars["different"][0]


def test_one_identity_has_no_false_pair() -> None:
    features = np.eye(4, dtype=np.float32)
    query, gallery = (Embeddings(features, np.ones(4, int), np.full(4, c)) for c in (0, 1))
    with pytest.raises(UserError, match="one identity"):
        distances.describe(pair_distances(query, gallery, 512, 0))
