from typing import Any

import numpy as np
import pytest

from pmm_jax.config import RankConfig
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.evaluate import preprocess_embeddings
from pmm_jax.search import codes, exact
from pmm_jax.search.exact import Distance, ExactIndex
from tests.extras import needs_export


def evaluators_order(query: np.ndarray, gallery: np.ndarray, distance: Distance) -> np.ndarray:
    """(Q, G) by the evaluator's distances, ties in gallery order."""
    settings = RankConfig(distance=distance, cameras=False)
    one, other = preprocess_embeddings(labeled(query), labeled(gallery), settings)
    distances = Distances(one.features, other.features)
    every = np.arange(len(gallery))
    rows = [distances.pairs(np.full(len(every), i), every) for i in range(len(query))]
    return np.stack([np.lexsort((every, row)) for row in rows])


def labeled(features: np.ndarray) -> Embeddings:
    return Embeddings(features, np.arange(len(features)), np.zeros(len(features), int))


def toy(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Queries and a gallery far from 0, with images twice, and some that float32 can't tell."""
    rng = np.random.default_rng(seed)
    gallery = rng.normal(3, 1, (300, 48)).astype(np.float32)
    gallery[100:150] = gallery[:50]
    gallery[150:200] = gallery[:50] * np.float32(1 + 2.0**-23)
    query = np.concatenate([rng.normal(3, 1, (3, 48)), gallery[:4]]).astype(np.float32)
    return query, gallery


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("scale", [1.0, 1e-15, 1e15])
def test_the_order_is_the_evaluators(distance: Distance, scale: float) -> None:
    query, gallery = (features * np.float32(scale) for features in toy())
    order = evaluators_order(query, gallery, distance)
    for top in (1, 10, 300, 1000):
        found = list(ExactIndex(gallery, distance).nearest(query, top))
        np.testing.assert_array_equal([one.rows for one in found], order[:, :top])
        assert all((np.diff(one.distances) >= 0).all() for one in found)


def test_images_that_are_left_out_take_no_rank() -> None:
    query, gallery = toy()
    order = evaluators_order(query, gallery, "euclidean")
    rows = np.flatnonzero(np.random.default_rng(1).random(300) < 0.3)
    found = ExactIndex(gallery, "euclidean").nearest(query, 20, rows)
    for one, all_rows in zip(found, order, strict=True):
        np.testing.assert_array_equal(one.rows, all_rows[np.isin(all_rows, rows)][:20])
    (none,) = ExactIndex(gallery, "euclidean").nearest(query[:1], 5, rows[:0])
    assert len(none.rows) == len(none.distances) == 0


def test_few_images_are_compared_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a gallery would be searched correctly, and slowly."""
    compared: list[int] = []
    one_by_one = exact.squared_distance

    def counted(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        compared.append(len(one))
        return one_by_one(one, other)

    monkeypatch.setattr(exact, "squared_distance", counted)
    rng = np.random.default_rng(0)
    gallery = rng.normal(5, 1, (2000, 48)).astype(np.float32)
    list(ExactIndex(gallery, "euclidean").nearest(gallery[:5], 10))
    assert 10 <= min(compared) <= max(compared) < 13


def test_a_query_far_outside_is_ranked_too() -> None:
    _, gallery = toy()
    query = np.full((1, 48), 1e30, np.float32)
    (found,) = ExactIndex(gallery * np.float32(1e-20), "euclidean").nearest(query, 5)
    np.testing.assert_array_equal(found.rows, np.arange(5))


def test_embeddings_that_do_not_fit_are_refused() -> None:
    query, gallery = toy()
    with pytest.raises(UserError, match="have length 47"):
        list(ExactIndex(gallery, "euclidean").nearest(query[:, 1:], 5))
    with pytest.raises(UserError, match="all 0 in row 0"):
        list(ExactIndex(gallery, "cosine").nearest(0 * query, 5))
    query[1, 2] = np.nan
    with pytest.raises(UserError, match="holds nan"):
        list(ExactIndex(gallery, "euclidean").nearest(query, 5))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gallery of any size counts as large, and takes several graphs."""
    monkeypatch.setattr(exact, "LARGE", 1)
    monkeypatch.setattr(codes, "SHARD", 128)
    monkeypatch.setattr(codes, "BLOCK", 50)


def prepared(gallery: np.ndarray, distance: Distance = "euclidean") -> ExactIndex:
    index = ExactIndex(gallery, distance)
    index.prepare()
    return index


@pytest.mark.usefixtures("encoded")
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("scale", [1.0, 1e-15, 1e15])
def test_codes_leave_the_order_as_it_is(distance: Distance, scale: float) -> None:
    query, gallery = (features * np.float32(scale) for features in toy())
    gallery[7] *= 100  # whose values are beyond the largest integer
    query[-1] = gallery[7]
    order = evaluators_order(query, gallery, distance)
    index, rows = prepared(gallery, distance), np.flatnonzero(np.arange(300) % 3)
    for top in (1, 10, 300, 1000):
        found = list(index.nearest(query, top))
        np.testing.assert_array_equal([one.rows for one in found], order[:, :top])
        some = list(index.nearest(query, top, rows))
        for one, all_rows in zip(some, order, strict=True):
            np.testing.assert_array_equal(one.rows, all_rows[np.isin(all_rows, rows)][:top])
    assert len(next(index.nearest(query, 3, rows[:0])).rows) == 0


@needs_export
@pytest.mark.usefixtures("encoded")
def test_codes_rule_out_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(0, 1, (5000, 256)).astype(np.float32)
    left: list[int] = []
    near = ExactIndex._near

    def counted(self: ExactIndex, *asked: Any) -> np.ndarray:
        found = near(self, *asked)
        left.append(len(found))
        return found

    monkeypatch.setattr(ExactIndex, "_near", counted)
    list(prepared(gallery).nearest(rng.normal(0, 1, (5, 256)).astype(np.float32), 10))
    by_codes, by_products = left[::2], left[1::2]
    assert 10 <= min(by_codes) <= max(by_codes) < 60
    assert by_products == [10] * 5


@needs_export
def test_products_of_codes_are_as_far_off_as_they_say() -> None:
    query, gallery = toy()
    gallery[7, 3] *= 1000
    gallery[8] = 0
    products, error = codes.Codes(gallery).products(query)
    off = np.abs(products - query.astype(np.float64) @ gallery.T.astype(np.float64))
    assert (off <= error).all()
    assert np.median(error) < 50 * np.median(off)


@needs_export
def test_products_of_codes_fit_where_two_are_added_in_16_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As x86 without VNNI adds them (VPMADDUBSW): no other processor would show it."""

    class Saturating:
        def __init__(self, images: np.ndarray, _: object) -> None:
            self._images = images.astype(int)

        def run(self, _: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert feed["query"].dtype == np.uint8
            query = feed["query"].astype(int)
            pairs = [query[:, d : d + 2] @ self._images[d : d + 2] for d in range(0, 48, 2)]
            cut = sum(np.clip(pair, -(2**15), 2**15 - 1) for pair in pairs)
            return [cut - codes.ZERO * self._images.sum(0)]

    monkeypatch.setattr("onnxruntime.InferenceSession", Saturating)
    monkeypatch.setattr(codes, "_graph", lambda images: images)
    gallery = np.outer([1, -1], np.ones(48)).astype(np.float32)
    for query in (gallery, toy()[0]):
        products, error = codes.Codes(gallery).products(query)
        assert (np.abs(products - query.astype(float) @ gallery.T) <= error).all()
