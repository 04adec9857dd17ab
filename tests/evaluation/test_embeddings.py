from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.errors import UserError
from pmm_jax.evaluation import (
    Embeddings,
    Ranking,
    evaluate_distances,
    evaluate_embeddings,
    streaming,
)
from pmm_jax.evaluation.distances import Grid
from pmm_jax.evaluation.streaming import Share


def people(seed: int, count: int, length: int = 64) -> Embeddings:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((12, length))
    identities = rng.integers(-1, 10, count)
    features = centres[identities] + 2 * rng.standard_normal((count, length))
    return Embeddings(
        np.maximum(features, 0).astype(np.float32), identities, rng.integers(0, 4, count)
    )


def assert_identical(first: Ranking, second: Ranking) -> None:
    np.testing.assert_array_equal(first.cmc, second.cmc)
    np.testing.assert_array_equal(first.average_precision, second.average_precision)
    assert (first.mAP, first.mINP, first.evaluated) == (second.mAP, second.mINP, second.evaluated)


def test_equals_ranking_the_whole_matrix() -> None:
    query, gallery = people(0, 50), people(1, 300)
    difference = query.features[:, None].astype(np.float64) - gallery.features[None]
    expected = evaluate_distances(
        (difference**2).sum(-1),
        query.identities,
        gallery.identities,
        query.cameras,
        gallery.cameras,
    )
    assert 0.1 < expected.mAP < 0.9
    assert_identical(evaluate_embeddings(query, gallery), expected)


HARD = {
    "plain": lambda rng, x: x,
    "duplicates": lambda rng, x: x[rng.integers(0, 1 + len(x) // 3, len(x))],
    "few values": lambda rng, x: np.rint(x),
    "collapsed": lambda rng, x: np.ones_like(x),
    "nearly collapsed": lambda rng, x: 1 + 1e-6 * x,
    "far from zero": lambda rng, x: 1000 + x,
    "one outlier": lambda rng, x: x * np.where(np.arange(len(x)) == 0, 1e4, 1)[:, None],
    "very long": lambda rng, x: 1e36 * x,
    "very short": lambda rng, x: 1e-40 * x,
}
"""Embeddings that rounding, ties or cancellation would rank wrong."""


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("seed", range(40))
def test_exact_on_hard_embeddings(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(streaming, "GALLERY_BLOCK", int(rng.choice([16, 64])))
    monkeypatch.setattr(streaming, "SETTLED", int(rng.choice([5, 1 << 16])))
    monkeypatch.setattr(streaming, "PAIR_COST", int(rng.choice([0, 64, 1 << 20])))
    sizes = int(rng.integers(1, 40)), int(rng.integers(1, 150))
    count, length = sum(sizes), int(rng.choice([2, 600]))
    identities = rng.integers(-1, 6, count)
    centres = rng.standard_normal((7, length))
    features = HARD[kind](rng, centres[identities] + rng.standard_normal((count, length)))
    features, cameras = features.astype(np.float32), rng.integers(0, 3, count)
    query, gallery = (
        Embeddings(features[rows], identities[rows], cameras[rows])
        for rows in (slice(sizes[0]), slice(sizes[0], None))
    )
    labels = query.identities, gallery.identities, query.cameras, gallery.cameras
    # Scaled by a power of two, the grid's own distances: integers, so that nothing rounds.
    grid = Grid(query.features, gallery.features)
    steps = grid.steps(query.features)[:, None] - grid.steps(gallery.features)
    try:
        expected = evaluate_distances(np.square(steps).sum(-1), *labels)
    except UserError:
        with pytest.raises(UserError, match="no query has a match"):
            evaluate_embeddings(query, gallery)
    else:
        chunk = int(rng.choice([4, 512]))
        assert_identical(evaluate_embeddings(query, gallery, chunk), expected)


@pytest.mark.parametrize("reduction", [True, False])
def test_few_pairs_are_left_open(reduction: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if reduction:  # how a GPU or TPU counts
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.clear_caches()
    settled: list[int] = []
    pairs = Grid.pairs

    def count_pairs(grid: Grid, one: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        settled.append(len(rest[-1]))
        return pairs(grid, one, *rest)

    monkeypatch.setattr(Grid, "pairs", count_pairs)
    query, gallery = people(0, 100, 1536), people(1, 3000, 1536)
    difference = cdist(query.features, gallery.features)
    expected = evaluate_distances(
        difference, query.identities, gallery.identities, query.cameras, gallery.cameras
    )
    assert_identical(evaluate_embeddings(query, gallery), expected)
    jax.clear_caches()
    assert 0 < sum(settled) < 0.01 * difference.size


def test_identical_whatever_the_chunk_even_among_duplicates() -> None:
    query, gallery = people(0, 61), people(1, 150)
    twice = Embeddings(
        np.concatenate([gallery.features] * 2),
        np.concatenate([gallery.identities, gallery.identities[::-1]]),
        np.concatenate([gallery.cameras] * 2),
    )
    whole = evaluate_embeddings(query, twice)
    for chunk in (1, 2, 7, 60, 61, 1000):
        assert_identical(evaluate_embeddings(query, twice, chunk), whole)


def test_processes_share_the_queries() -> None:
    query, gallery = people(0, 61), people(1, 150)
    counts: list[np.ndarray] = []

    def keep(part: np.ndarray) -> np.ndarray:
        counts.append(part)
        return np.sum(counts, axis=0)

    for index in range(3):
        found = evaluate_embeddings(query, gallery, 7, share=Share(index, 3, keep))
    assert all(part.any() for part in counts)
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
        ("gallery features holds inf in row 0", {"features": np.full((30, 64), 1e300)}),
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


def test_chunk_zero_is_refused() -> None:
    with pytest.raises(UserError, match="chunk is 0"):
        evaluate_embeddings(people(0, 20), people(1, 30), chunk=0)
