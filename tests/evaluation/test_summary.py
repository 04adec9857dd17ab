import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pmm_jax.config import RankConfig
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, evaluate_embeddings, roc
from pmm_jax.evaluation.camera_pairs import camera_pairs
from pmm_jax.evaluation.expansion import augment_gallery, expand_queries, unit_length
from pmm_jax.evaluation.measure import ranking, settled
from pmm_jax.evaluation.summary import summarise
from pmm_jax.evaluation.variants import multi_query, without_cameras
from tests.evaluation.people import people

QUERY, GALLERY = people(0, 60, 8, 16, 1.3), people(1, 240, 8, 16, 1.3)
PLAIN = RankConfig()


def mean_ap(**settings: Any) -> float:
    chosen = replace(PLAIN, **settings)
    return ranking(*settled(QUERY, GALLERY, chosen), chosen).mAP


def test_each_setting_does_what_its_function_does() -> None:
    assert mean_ap() == evaluate_embeddings(QUERY, GALLERY).mAP
    apart = evaluate_embeddings(*without_cameras(QUERY, GALLERY))
    assert mean_ap(cameras=False) == apart.mAP
    pooled = evaluate_embeddings(multi_query(QUERY, GALLERY, "average"), GALLERY)
    assert mean_ap(multi_query="average") == pooled.mAP
    kept = GALLERY.identities != -1
    q, g = unit_length("q", QUERY.features), unit_length("g", GALLERY.features[kept])
    labels = QUERY.identities, QUERY.cameras, GALLERY.identities[kept], GALLERY.cameras[kept]

    def with_features(query: np.ndarray, gallery: np.ndarray) -> float:
        return evaluate_embeddings(
            Embeddings(query, labels[0], labels[1]), Embeddings(gallery, labels[2], labels[3])
        ).mAP

    assert mean_ap(distance="cosine") == with_features(q, g)
    expanded, augmented = expand_queries(q, g, 4, 2.0), augment_gallery(g, 3, 2.0)
    cosine = {"distance": "cosine", "alpha": 2.0}
    assert mean_ap(expand_queries=4, **cosine) == with_features(expanded, g)
    assert mean_ap(augment_gallery=3, **cosine) == with_features(q, augmented)
    both = mean_ap(expand_queries=4, augment_gallery=3, **cosine)
    assert both == with_features(expanded, augmented)


def test_re_ranking_and_single_shot_differ_from_the_plain_ranking() -> None:
    assert mean_ap(rerank=True, k1=15) > mean_ap() + 0.02
    assert mean_ap(single_shot=5) != mean_ap()


@pytest.mark.parametrize(
    ("message", "settings", "extras"),
    [
        ("set distance to cosine", {"expand_queries": 3}, {}),
        ("rerank and single_shot can't be", {"rerank": True, "single_shot": 2}, {}),
        ("of the plain ranking", {"rerank": True}, {"roc": True}),
        ("images have none", {"cameras": False}, {"camera_pairs": True}),
        ("--intervals are of one gallery", {"single_shot": 2}, {"intervals": True}),
        ("needs 1 <= k2 <= k1", {"rerank": True, "k1": 1000}, {}),
        ("needs 1 <= k2 <= k1", {"k2": 30}, {}),
        ("weight is 2", {"weight": 2.0}, {}),
        ("depth is 0", {"index": "Flat", "depth": 0}, {}),
        ("probes is 0", {"index": "Flat", "probes": 0}, {}),
        ("expand_queries is -1", {"expand_queries": -1}, {}),
        ("alpha is nan", {"alpha": float("nan")}, {}),
    ],
)
def test_what_excludes_each_other_is_refused(
    message: str, settings: dict[str, Any], extras: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        summarise(QUERY, GALLERY, replace(PLAIN, **settings), **extras)
    assert "\n" not in str(caught.value)


def test_the_extras_are_in_text_json_and_csv() -> None:
    summary = summarise(QUERY, GALLERY, PLAIN, roc=True, intervals=True, camera_pairs=True)
    read = json.loads(json.dumps(summary.as_json()))
    assert read["mAP"] == summary.ranking.mAP
    assert read["roc"] == {f"{rate:.0e}": value for rate, value in roc(QUERY, GALLERY).items()}
    low, high = read["intervals"]["mAP"]
    assert 0 < low < read["mAP"] < high < 1
    table = camera_pairs(QUERY, GALLERY)
    assert [pair["queries"] for pair in read["camera_pairs"]] == [
        count for count in table.queries.ravel().tolist() if count
    ]
    text = summary.text()
    assert "95 % bootstrap intervals" in text
    assert "1e-04" in text
    assert f"{100 * table.rank1[0, 1]:.1f} / {100 * table.mAP[0, 1]:.1f}" in text
    lines = summary.queries_csv().splitlines()
    assert len(lines) == 61
    first = lines[1].split(",")
    assert first[:3] == ["0", str(QUERY.identities[0]), str(QUERY.cameras[0])]
    unmatched = int(np.argmax(np.isnan(summary.ranking.average_precision)))
    assert lines[1 + unmatched].endswith(",,,")


def test_without_extras_only_the_ranking_is_told() -> None:
    summary = summarise(QUERY, GALLERY, PLAIN)
    assert set(summary.as_json()) == {"rank1", "rank5", "rank10", "mAP", "mINP", "release_mAP"}
    assert "interval" not in summary.text()
