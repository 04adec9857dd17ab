import csv
import importlib.util
import io
import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.config import RankConfig
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, evaluate_distances, evaluate_embeddings, roc
from pmm_jax.evaluation.bootstrap import mean_interval
from pmm_jax.evaluation.camera_pairs import camera_pairs
from pmm_jax.evaluation.evaluate import evaluate_ranking
from pmm_jax.evaluation.expansion import augment_gallery, expand_queries, unit_length
from pmm_jax.evaluation.protocols import evaluate_single_shot, multi_query, without_cameras
from pmm_jax.evaluation.reranking import reranked_rows
from pmm_jax.evaluation.summary import QUERY_COLUMNS, Summary, summarize
from tests.evaluation.people import people

QUERY, GALLERY = people(0, 60, 8, 16, 1.3), people(1, 240, 8, 16, 1.3)
KEPT = np.flatnonzero(GALLERY.identities != -1)
PLAIN = RankConfig()
needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="faiss is not installed (requirements-dev)"
)


def mean_ap(**settings: Any) -> float:
    chosen = replace(PLAIN, **settings)
    return evaluate_ranking(QUERY, GALLERY, chosen).mAP


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
    cosine = {"distance": "cosine", "qe_alpha": 2.0}
    assert mean_ap(query_expansion_k=4, **cosine) == with_features(expanded, g)
    assert mean_ap(dba_k=3, **cosine) == with_features(q, augmented)
    both = mean_ap(query_expansion_k=4, dba_k=3, **cosine)
    assert both == with_features(expanded, augmented)


OPTIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "distance": ({}, "cosine"),
    "cameras": ({}, False),
    "single_shot": ({}, 4),
    "query_expansion_k": ({"distance": "cosine"}, 3),
    "dba_k": ({"distance": "cosine"}, 3),
    "qe_alpha": ({"distance": "cosine", "query_expansion_k": 5}, 0.5),
    "rerank": ({}, True),
    "k1": ({"rerank": True}, 9),
    "k2": ({"rerank": True}, 2),
    "rerank_lambda": ({"rerank": True}, 0.7),
    "seed": ({"single_shot": 4}, 5),
}
"""An option, what it needs, and another value than its default."""
INDEX_OPTIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "faiss_index": ({"index_top_n": 30}, "Flat"),
    "nprobe": ({"faiss_index": "IVF16,Flat"}, 1),
    "index_top_n": ({"faiss_index": "Flat"}, 20),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_the_ranking(name: str) -> None:
    others, value = OPTIONS[name]
    assert getattr(PLAIN, name) != value
    assert mean_ap(**others, **{name: value}) != mean_ap(**others)


@needs_faiss
@pytest.mark.parametrize("name", INDEX_OPTIONS)
def test_an_option_of_an_index_changes_the_ranking(name: str) -> None:
    others, value = INDEX_OPTIONS[name]
    assert mean_ap(**others, **{name: value}) != mean_ap(**others)


def test_every_option_is_tried() -> None:
    tried = {*OPTIONS, *INDEX_OPTIONS, "multi_query"}
    assert tried == {field.name for field in fields(RankConfig)}


def test_the_two_ways_to_pool_differ_as_their_functions_do() -> None:
    found = {how: mean_ap(multi_query=how) for how in ("none", "average", "max")}
    assert len(set(found.values())) == 3
    for how in ("average", "max"):
        pooled = multi_query(QUERY, GALLERY, how)
        assert found[how] == evaluate_embeddings(pooled, GALLERY).mAP


def test_re_ranking_is_what_its_function_gives() -> None:
    labels = QUERY.identities, GALLERY.identities[KEPT], QUERY.cameras, GALLERY.cameras[KEPT]
    for weight in (0.0, 0.3, 0.9):
        rows = reranked_rows(QUERY.features, GALLERY.features[KEPT], 12, 4, weight)
        expected = evaluate_distances(np.stack([row.copy() for row in rows]), *labels)
        assert mean_ap(rerank=True, k1=12, k2=4, rerank_lambda=weight) == expected.mAP
    assert mean_ap(rerank=True, k1=15) > mean_ap() + 0.02


def test_single_shot_is_what_its_function_gives() -> None:
    gallery = GALLERY.take(KEPT)
    for seed in (0, 3):
        expected = evaluate_single_shot(QUERY, gallery, 5, seed)
        assert mean_ap(single_shot=5, seed=seed) == expected.mAP


def test_each_interval_is_its_own_figure_s() -> None:
    summary = summarize_all(seed=4)
    of = summary.metrics
    assert summary.intervals == {
        "rank1": mean_interval(of.hits, 4),
        "mAP": mean_interval(of.average_precision, 4),
        "mINP": mean_interval(of.inverse_negative_penalty, 4),
    }
    assert len({interval.mean for interval in summary.intervals.values()}) == 3
    for name, interval in summary.intervals.items():
        assert interval.mean == pytest.approx(getattr(of, name))
    assert summarize_all(seed=5).intervals != summary.intervals


def summarize_all(seed: int) -> Summary:
    return summarize(QUERY, GALLERY, replace(PLAIN, seed=seed), intervals=True)


def table(summary: Summary) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(summary.queries_csv(), newline="")))


def first_images(distances: np.ndarray, query: Embeddings, gallery: Embeddings) -> list[list[int]]:
    """By walking down every row: the first match, the first of others; -1 where there is none."""
    found = []
    for row, own, camera in zip(distances, query.identities, query.cameras, strict=True):
        first = [-1, -1]
        for image in np.argsort(row, kind="stable").tolist():
            identity = gallery.identities[image]
            if identity == -1 or (identity == own and gallery.cameras[image] == camera):
                continue
            column = int(identity != own)
            if first[column] < 0:
                first[column] = image
        found.append(first)
    return found


NAMED_QUERY = replace(
    QUERY,
    paths=np.array([f"query/{i}.jpg" for i in range(60)]),
    identity_names={3: "Ada, the first", 4: "two\nlines", 5: 'a "quote"'},
)
NAMED_GALLERY = replace(
    GALLERY,
    paths=np.array([f"gallery/{i}.jpg" for i in range(240)]),
    identity_names=NAMED_QUERY.identity_names,
)


@pytest.mark.parametrize("ties", [False, True])
def test_each_query_s_line_names_images_identities_and_cameras(ties: bool) -> None:
    query, gallery = NAMED_QUERY, NAMED_GALLERY
    if ties:
        query, gallery = (
            replace(images, features=np.rint(images.features).clip(0, 1))
            for images in (query, gallery)
        )
    summary = summarize(query, gallery, PLAIN, per_query=True)
    lines = table(summary)
    assert tuple(lines[0]) == QUERY_COLUMNS
    plain = evaluate_embeddings(query, gallery)
    np.testing.assert_array_equal(summary.metrics.average_precision, plain.average_precision)
    distances = cdist(query.features, gallery.features)
    expected = first_images(distances, query, gallery)
    assert -1 in np.array(expected)[:, 0]
    for i, (line, (match, wrong)) in enumerate(zip(lines, expected, strict=True)):
        number, camera = int(query.identities[i]), int(query.cameras[i])
        names = query.identity_names
        assert line["query"] == f"query/{i}.jpg"
        assert line["identity"] == names.get(number, str(number))
        assert line["camera"] == str(camera)
        assert line["first_match_image"] == (f"gallery/{match}.jpg" if match >= 0 else "")
        assert line["first_wrong_image"] == f"gallery/{wrong}.jpg"
        stranger = int(gallery.identities[wrong])
        assert line["first_wrong_identity"] == names.get(stranger, str(stranger))
        for name in ("first_match", "average_precision", "inverse_negative_penalty"):
            value = getattr(plain, name)[i]
            assert (line[name] == "") == np.isnan(value) == (match < 0)
            assert match < 0 or float(line[name]) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"rerank": True}, pytest.param({"faiss_index": "Flat"}, marks=needs_faiss)],
    ids=str,
)
def test_the_first_images_are_those_of_what_re_orders_the_ranking(settings: dict[str, Any]) -> None:
    lines = table(summarize(NAMED_QUERY, NAMED_GALLERY, replace(PLAIN, **settings), per_query=True))
    for line in lines:
        comes_first = line["first_match"] == "1"
        assert bool(line["first_match_image"]) == bool(line["first_match"])
        if comes_first:
            match = int(line["first_match_image"][8:-4])
            assert NAMED_GALLERY.identity_name(match) == line["identity"]


def test_cameras_are_the_user_s_own_even_where_they_do_not_count() -> None:
    for images in (QUERY, replace(QUERY, cameras=np.full(60, -1))):
        summary = summarize(images, GALLERY, replace(PLAIN, cameras=False), per_query=True)
        expected = [str(camera) if camera >= 0 else "" for camera in images.cameras.tolist()]
        assert [line["camera"] for line in table(summary)] == expected


def test_images_without_a_path_are_named_by_their_row() -> None:
    lines = table(summarize(QUERY, GALLERY, PLAIN, per_query=True))
    expected = first_images(cdist(QUERY.features, GALLERY.features), QUERY, GALLERY)
    assert (GALLERY.identities == -1).any()  # which no row is counted without
    assert [line["query"] for line in lines] == [str(i) for i in range(60)]
    assert [line["first_wrong_image"] for line in lines] == [str(wrong) for _, wrong in expected]


def test_many_galleries_have_no_first_image() -> None:
    summary = summarize(QUERY, GALLERY, replace(PLAIN, single_shot=2), per_query=True)
    assert {line["first_match_image"] for line in table(summary)} == {""}


@pytest.mark.parametrize("cameras", [np.full(60, -1), -1 - np.arange(60)])
def test_camera_pairs_of_unknown_cameras_are_refused_as_such(cameras: np.ndarray) -> None:
    unknown = replace(QUERY, cameras=cameras)
    with pytest.raises(UserError, match="none that is known"):
        summarize(unknown, unknown, PLAIN, camera_pairs=True)


@pytest.mark.parametrize(
    ("message", "settings", "extras"),
    [
        ("set distance to cosine", {"query_expansion_k": 3}, {}),
        ("rerank and single_shot can't be", {"rerank": True, "single_shot": 2}, {}),
        ("of the plain ranking", {"rerank": True}, {"roc": True}),
        ("these images have none", {"cameras": False}, {"camera_pairs": True}),
        ("--intervals are of one gallery", {"single_shot": 2}, {"intervals": True}),
        ("needs 1 <= k2 <= k1", {"rerank": True, "k1": 1000}, {}),
        ("needs 1 <= k2 <= k1", {"k2": 30}, {}),
        ("rerank_lambda is 2", {"rerank_lambda": 2.0}, {}),
        ("index_top_n is 0", {"faiss_index": "Flat", "index_top_n": 0}, {}),
        ("nprobe is 0", {"faiss_index": "Flat", "nprobe": 0}, {}),
        ("query_expansion_k is -1", {"query_expansion_k": -1}, {}),
        ("qe_alpha is nan", {"qe_alpha": float("nan")}, {}),
    ],
)
def test_what_excludes_each_other_is_refused(
    message: str, settings: dict[str, Any], extras: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        summarize(QUERY, GALLERY, replace(PLAIN, **settings), **extras)
    assert "\n" not in str(caught.value)


def test_the_extras_are_in_text_and_json() -> None:
    summary = summarize(QUERY, GALLERY, PLAIN, roc=True, intervals=True, camera_pairs=True)
    read = json.loads(json.dumps(summary.as_json()))
    assert read["mAP"] == summary.metrics.mAP
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


def test_without_extras_only_the_metrics_are_shown() -> None:
    summary = summarize(QUERY, GALLERY, PLAIN)
    assert set(summary.as_json()) == {"rank1", "rank5", "rank10", "mAP", "mINP", "mAP@50"}
    assert "interval" not in summary.text()
