import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.distributed.processes import ProcessShard
from pmm_jax.errors import UserError
from pmm_jax.evaluation import (
    Embeddings,
    RankingMetrics,
    distances,
    evaluate_distances,
    evaluate_embeddings,
    roc,
    streaming,
    verification,
)
from pmm_jax.evaluation.distances import Distances


def people(seed: int, count: int, length: int = 64) -> Embeddings:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((12, length))
    identities = rng.integers(-1, 10, count)
    features = centers[identities] + 2 * rng.standard_normal((count, length))
    return Embeddings(
        np.maximum(features, 0).astype(np.float32), identities, rng.integers(0, 4, count)
    )


def squares(query: Embeddings, gallery: Embeddings) -> np.ndarray:
    return np.stack(
        [
            np.square(row.astype(np.float64) - gallery.features.astype(np.float64)).sum(-1)
            for row in query.features
        ]
    )


def assert_identical(first: RankingMetrics, second: RankingMetrics) -> None:
    np.testing.assert_array_equal(first.cmc, second.cmc)
    np.testing.assert_array_equal(first.average_precision, second.average_precision)
    assert (first.mAP, first.mINP, first.evaluated) == (second.mAP, second.mINP, second.evaluated)


def test_equals_ranking_the_whole_matrix() -> None:
    query, gallery = people(0, 50), people(1, 300)
    expected = evaluate_distances(
        squares(query, gallery),
        query.identities,
        gallery.identities,
        query.cameras,
        gallery.cameras,
    )
    assert 0.1 < expected.mAP < 0.9
    assert_identical(evaluate_embeddings(query, gallery), expected)


def long_row(rng: np.random.Generator, x: np.ndarray, length: float) -> np.ndarray:
    return x * np.where(np.arange(len(x)) == rng.integers(len(x)), length, 1)[:, None]


def narrow(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32)


HARD: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "plain": lambda rng, x: narrow(x),
    "float64": lambda rng, x: x,
    "duplicates": lambda rng, x: narrow(x)[rng.integers(0, 1 + len(x) // 3, len(x))],
    "duplicates in float64": lambda rng, x: x[rng.integers(0, 1 + len(x) // 3, len(x))],
    "few values": lambda rng, x: narrow(np.rint(x)),
    "codes": lambda rng, x: np.sign(x),
    "decimals": lambda rng, x: np.round(x, 1),
    "collapsed": lambda rng, x: np.ones_like(x),
    "collapsed beyond float32": lambda rng, x: np.full_like(x, 0.1),
    "nearly collapsed": lambda rng, x: narrow(1 + 1e-6 * x),
    "collapsed but one": lambda rng, x: long_row(rng, np.ones_like(x), 9),
    "far from 0": lambda rng, x: narrow(1000 + x),
    "far from 0 in float64": lambda rng, x: 1e9 + x,
    "beyond float32": lambda rng, x: 1 + 1e-13 * x,
    "two far places": lambda rng, x: 1e9 * rng.choice([-1, 1], (len(x), 1)) + x,
    "one long row": lambda rng, x: narrow(long_row(rng, x, 1e4)),
    "one longest row": lambda rng, x: narrow(long_row(rng, np.clip(x, -3, 3), 1e38)),
    "one row of 1e100": lambda rng, x: long_row(rng, x, 1e100),
    "one row near 0": lambda rng, x: narrow(long_row(rng, x, 1e-30)),
    "any length": lambda rng, x: x * 10.0 ** rng.uniform(-8, 8, (len(x), 1)),
    "any length of float32": lambda rng, x: narrow(x * 10.0 ** rng.uniform(-35, 35, (len(x), 1))),
    "any unit": lambda rng, x: x * 10.0 ** rng.uniform(-8, 8, x.shape[1]),
    "very long": lambda rng, x: narrow(1e36 * x),
    "very short": lambda rng, x: narrow(1e-40 * x),
    "very long in float64": lambda rng, x: 1e140 * x,
    "very short in float64": lambda rng, x: 1e-140 * x,
    "mostly 0": lambda rng, x: narrow(x * (rng.random(x.shape) < 0.02)),
}
"""Embeddings that rounding, ties or cancellation would rank wrong."""


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 40))]
)
def test_the_figures_are_float64_s_to_the_last_bit(
    kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng([seed, len(kind)])
    monkeypatch.setattr(streaming, "GALLERY_BLOCK", int(rng.choice([16, 64])))
    monkeypatch.setattr(streaming, "SETTLED", int(rng.choice([5, 1 << 16])))
    monkeypatch.setattr(streaming, "PAIR_COST", int(rng.choice([0, 64, 1 << 20])))
    # Some queries are counted and some sorted, all or none.
    monkeypatch.setattr(streaming, "FEW_MATCHES", int(rng.choice([0, 8, 1000])))
    monkeypatch.setattr(streaming, "LEAST_ROWS", 3)
    monkeypatch.setattr(streaming, "VALUES", int(rng.choice([1, 1 << 22])))
    monkeypatch.setattr(distances, "SAMPLE", int(rng.choice([1, 7, 255])))
    monkeypatch.setattr(distances, "BLOCK", int(rng.choice([16, 1024])))
    is_hard = Distances._is_hard if seed % 2 else lambda *_: False
    monkeypatch.setattr(Distances, "_is_hard", is_hard)
    sizes = int(rng.integers(1, 40)), int(rng.integers(1, 150))
    count, length = sum(sizes), int(rng.choice([2, 9, 600]))
    identities = rng.integers(-1, 6, count)
    centers = rng.standard_normal((7, length))
    features = HARD[kind](rng, centers[identities] + rng.standard_normal((count, length)))
    cameras = rng.integers(0, 3, count)
    query, gallery = (
        Embeddings(features[rows], identities[rows], cameras[rows])
        for rows in (slice(sizes[0]), slice(sizes[0], None))
    )
    labels = query.identities, gallery.identities, query.cameras, gallery.cameras
    try:
        expected = evaluate_distances(squares(query, gallery), *labels)
    except UserError:
        with pytest.raises(UserError, match="no query has a match"):
            evaluate_embeddings(query, gallery)
    else:
        query_block = int(rng.choice([4, 512]))
        assert_identical(evaluate_embeddings(query, gallery, query_block), expected)


@pytest.mark.parametrize("kind", ["plain", "codes", "decimals", "any length", "duplicates"])
def test_counted_and_sorted_queries_have_the_same_figures(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    ids, cameras = rng.integers(-1, 4, 500), rng.integers(0, 3, 500)
    centers = rng.standard_normal((5, 32))
    features = HARD[kind](rng, centers[ids] + 2 * rng.standard_normal((500, 32)))
    query, gallery = (
        Embeddings(features[s], ids[s], cameras[s]) for s in (slice(100), slice(100, None))
    )
    found = []
    for most in (0, 40, 1000):
        monkeypatch.setattr(streaming, "FEW_MATCHES", most)
        found.append(evaluate_embeddings(query, gallery))
    labels = query.identities, gallery.identities, query.cameras, gallery.cameras
    expected = evaluate_distances(squares(query, gallery), *labels)
    assert 0 < expected.mAP < 1
    for metrics in found:
        assert_identical(metrics, expected)


def test_one_overflowed_embedding_of_the_gallery_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(1, 21), 2)
    centers = rng.normal(size=(21, 16))
    query, gallery = (
        (centers[ids] + 0.3 * rng.normal(size=(40, 16))).astype(np.float32) for _ in "qg"
    )
    longest = np.full((1, 16), np.finfo(np.float32).max)
    plain = Embeddings(gallery, ids, np.ones(40, int))
    more = Embeddings(np.vstack([gallery, longest]), np.append(ids, 0), np.ones(41, int))
    queries = Embeddings(query, ids, np.zeros(40, int))
    assert evaluate_embeddings(queries, more).mAP == evaluate_embeddings(queries, plain).mAP > 0.9


def test_an_embedding_too_long_for_float64_is_refused_by_row() -> None:
    gallery = people(1, 30)
    features = gallery.features.astype(np.float64)
    features[4, 2] = 1e300
    with pytest.raises(UserError, match="gallery features are too long in row 4"):
        evaluate_embeddings(people(0, 20), replace(gallery, features=features))


@pytest.mark.parametrize("reduction", [True, False])
def test_few_pairs_are_left_open(reduction: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if reduction:  # how a GPU or TPU counts
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.clear_caches()
    settled: dict[str, int] = {"estimates": 0, "pairs": 0}
    for name in settled:
        plain = getattr(Distances, name)

        def counted(self: Distances, i: np.ndarray, j: np.ndarray, name=name, plain=plain) -> Any:  # type: ignore[no-untyped-def]
            settled[name] += len(i)
            return plain(self, i, j)

        monkeypatch.setattr(Distances, name, counted)
    monkeypatch.setattr(streaming, "FEW_MATCHES", 1000)
    query, gallery = people(0, 100, 1536), people(1, 3000, 1536)
    difference = cdist(query.features, gallery.features)
    expected = evaluate_distances(
        difference, query.identities, gallery.identities, query.cameras, gallery.cameras
    )
    assert_identical(evaluate_embeddings(query, gallery), expected)
    jax.clear_caches()
    assert 0 < settled["estimates"] < 0.01 * difference.size
    assert settled["pairs"] < 0.01 * difference.size


def test_identical_whatever_the_query_block_even_among_duplicates() -> None:
    query, gallery = people(0, 61), people(1, 150)
    twice = Embeddings(
        np.concatenate([gallery.features] * 2),
        np.concatenate([gallery.identities, gallery.identities[::-1]]),
        np.concatenate([gallery.cameras] * 2),
    )
    whole = evaluate_embeddings(query, twice)
    for query_block in (1, 2, 7, 60, 61, 1000):
        assert_identical(evaluate_embeddings(query, twice, query_block), whole)


@pytest.mark.parametrize("counted", [0, 15, 1000])
def test_processes_share_the_queries(counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FEW_MATCHES", counted)
    monkeypatch.setattr(streaming, "LEAST_ROWS", 7)
    monkeypatch.setattr(streaming, "VALUES", 1)
    query, gallery = people(0, 61), people(1, 150)
    parts: list[np.ndarray] = []

    def keep(part: np.ndarray) -> np.ndarray:
        assert part.dtype == np.int32  # what jax carries without loss
        parts.append(part)
        if len(parts) < 3:
            raise InterruptedError  # where this process would wait for the others
        return np.sum(parts, axis=0)

    for index in range(2):
        with pytest.raises(InterruptedError):
            evaluate_embeddings(query, gallery, 7, shard=ProcessShard(index, 3, keep))
    found = evaluate_embeddings(query, gallery, 7, shard=ProcessShard(2, 3, keep))
    assert all(part.any() for part in parts)
    assert_identical(found, evaluate_embeddings(query, gallery))


def test_identities_of_any_value() -> None:
    query, gallery = people(0, 40), people(1, 150)
    for renamed in ((-2, 0, 4), (2**40, 2**41, -(2**40))):
        one, other = (
            replace(s, identities=np.choose(s.identities % 3, renamed)) for s in (query, gallery)
        )
        plain = [replace(s, identities=s.identities % 3) for s in (query, gallery)]
        assert_identical(evaluate_embeddings(one, other), evaluate_embeddings(plain[0], plain[1]))


def test_progress_counts_gallery_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "GALLERY_BLOCK", 32)
    seen: list[tuple[int, int]] = []
    gallery = people(1, 80)
    evaluate_embeddings(people(0, 50), gallery, 20, lambda *done: seen.append(done))
    kept = int((gallery.identities != -1).sum())
    assert seen == [(0, kept), (32, kept), (64, kept), (kept, kept)]


def test_all_junk_is_refused_before_any_distance() -> None:
    gallery = replace(people(1, 30), identities=np.full(30, -1))
    with pytest.raises(UserError, match="none of the 0 gallery images"):
        evaluate_embeddings(people(0, 5), gallery)


def test_single_camera_is_refused() -> None:
    query, gallery = people(0, 20), people(1, 30)
    query = replace(query, cameras=np.zeros(20, int))
    gallery = replace(gallery, cameras=np.zeros(30, int))
    with pytest.raises(UserError, match="same-camera rule removed"):
        evaluate_embeddings(query, gallery)


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        (r"gallery features has shape \(30,\)", {"features": np.ones(30, np.float32)}),
        (r"gallery features has shape \(0, 64\)", {"features": np.ones((0, 64), np.float32)}),
        ("gallery features holds int64", {"features": np.ones((30, 64), np.int64)}),
        ("query features have length 64 and gallery", {"features": np.ones((30, 8), np.float32)}),
        ("gallery features are too long in row 0", {"features": np.full((30, 64), 1e300)}),
        ("gallery identities has shape", {"identities": np.ones(29, np.int64)}),
        ("gallery cameras holds float64", {"cameras": np.ones(30)}),
    ],
)
def test_misfits_are_refused_by_name(message: str, changed: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=message) as caught:
        evaluate_embeddings(people(0, 20), replace(people(1, 30), **changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_row(value: float) -> None:
    query = people(0, 20)
    query.features[[4, 9], 3] = value
    with pytest.raises(UserError, match=f"query features holds {value} in row 4, column 3"):
        evaluate_embeddings(query, people(1, 30))


def test_query_block_zero_is_refused() -> None:
    with pytest.raises(UserError, match="query_block is 0"):
        evaluate_embeddings(people(0, 20), people(1, 30), query_block=0)


@pytest.mark.parametrize("is_hard", [False, True])
@pytest.mark.parametrize("figure", [evaluate_embeddings, roc])
def test_memory_does_not_grow_with_the_matches(
    figure: Callable[[Embeddings, Embeddings], object],
    is_hard: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "VALUES", 1)
    monkeypatch.setattr(verification, "MATCHES", 0)  # else up to 32 MiB of them are held
    rng = np.random.default_rng(0)
    count = 1500
    features = rng.standard_normal((count, 8)).astype(np.float32)
    if is_hard:
        features[3] *= 1e6
    images = Embeddings(features, np.arange(count) % 2 + 1, np.arange(count))
    figure(images, images)  # imports and compiles
    tracemalloc.start()
    try:
        figure(images, images)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    matches = count * (count // 2 - 1)
    assert peak < 2 * matches  # bytes; a list of them takes 8 each
