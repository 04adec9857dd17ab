import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pmm_jax.cli.report import make_comparison
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, RankingMetrics, evaluate_embeddings
from pmm_jax.evaluation.bootstrap import paired_bootstrap
from pmm_jax.report.runs import Runs
from pmm_jax.report.several import run_results
from pmm_jax.report.several.run_queries import agreement
from pmm_jax.report.several.run_results import differences

QUIET = Display(quiet=True)


def metrics(seed: int, queries: int = 40) -> RankingMetrics:
    rng = np.random.default_rng(seed)
    identities = np.arange(queries) % 8
    centers = rng.normal(size=(8, 4))

    def images(camera: int) -> Embeddings:
        noise = rng.normal(size=(queries, 4))
        return Embeddings(centers[identities] + noise, identities, np.full(queries, camera))

    return evaluate_embeddings(images(1), images(2))


def test_agreement_parts_the_queries() -> None:
    one, other = metrics(0), metrics(1)
    found = agreement(one, other)
    assert sorted(itertools.chain(*found.values())) == list(range(40))
    for query in found["only_first"]:
        assert (one.first_match[query], other.first_match[query] > 1) == (1, True)
    assert {other.first_match[query] for query in found["only_other"]} == {1}
    gains = [
        abs(one.average_precision[query] - other.average_precision[query])
        for query in found["only_first"]
    ]
    assert len(gains) > 2
    assert gains == sorted(gains, reverse=True)


def test_differences_are_paired() -> None:
    one, other = metrics(0), metrics(1)
    found = differences(one, other, seed=3)
    expected = paired_bootstrap(one.average_precision, other.average_precision, seed=3)
    assert (found["mAP"]["low"], found["mAP"]["high"]) == (expected.low, expected.high)
    assert found["rank1"]["mean"] == pytest.approx(one.rank1 - other.rank1)
    assert differences(one, one, 0)["mINP"]["holds_zero"]


def test_a_run_is_named_once(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(finished)
    with pytest.raises(UserError, match="again is named twice"):
        Runs([finished, tmp_path / "again"], QUIET)


def test_the_page_of_two_runs(finished: Path, tmp_path: Path) -> None:
    """A run beside a copy of itself: every difference is 0."""
    shutil.copytree(finished, tmp_path / "copy" / finished.name)
    folders = [finished, tmp_path / "copy" / finished.name]
    make_comparison(folders, tmp_path / "page.html", QUIET)
    values = json.loads((tmp_path / "page.json").read_bytes())
    assert not [name for name, found in values.items() if "missing" in found]
    (difference,) = values["run_results"]["differences"]
    assert difference["label"].endswith("copy/tiny")  # told apart, although both are tiny
    for key in ("rank1", "mAP", "mINP"):
        assert difference[key] == {"mean": 0, "low": 0, "high": 0, "holds_zero": True}
    assert values["run_configs"]["fields"] == {}
    first = values["run_results"]["runs"][0]
    assert first["progress"] == "latest checkpoint, step 2; trained to epoch 1 of 1"
    assert values["run_results"]["cmc"][first["label"]][0] == first["evaluation"]["rank1"]
    counts = values["run_queries"]["pairs"][0]["counts"]
    assert counts["only_first"] == counts["only_other"] == 0
    assert counts["both"] + counts["none"] == 6


def ranked(**changes: Any) -> Any:
    """A run as the check reads it."""
    fields = {"query": ["q", "r"], "gallery": ["a", "b"], "first_match": [1, 2], "single_shot": 0}
    query, gallery, first_match, single_shot = (fields | changes).values()
    return SimpleNamespace(
        config=SimpleNamespace(evaluate=SimpleNamespace(single_shot=single_shot)),
        summary=SimpleNamespace(
            query=SimpleNamespace(paths=np.array(query)),
            gallery=SimpleNamespace(paths=np.array(gallery)),
            metrics=SimpleNamespace(first_match=np.array(first_match)),
        ),
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"query": ["r", "q"]}, "run has other queries than first"),
        ({"gallery": ["a", "c"]}, "run has other gallery images than first"),
        ({"first_match": [1, np.nan]}, "run counts other queries than first"),
        ({"single_shot": 2}, "run is evaluated by single-shot galleries"),
    ],
)
def test_what_is_another_question_is_not_paired(changes: dict[str, Any], reason: str) -> None:
    runs = object.__new__(Runs)
    runs.labels, runs.runs = ["first", "run"], [ranked(), ranked(first_match=[2, 1])]
    runs.check_paired()
    runs.runs[1] = ranked(**changes)
    with pytest.raises(UserError, match=reason):
        runs.check_paired()


def test_runs_on_different_images_are_not_paired(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "other")
    runs = Runs([finished, tmp_path / "other"], QUIET)
    query, gallery = runs.runs[0].embeddings
    runs.runs[1]._embedded = query, gallery.take(np.arange(len(gallery.identities)) > 0)
    with pytest.raises(UserError, match="other has other gallery images than tiny"):
        runs.check_paired()
    content = run_results.build(runs)
    assert content.values["differences"] == []
    assert "gallery images" in content.values["unpaired"]
