import warnings
from collections.abc import Callable

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import distances
from pmm_jax.evaluation.distances import Distances, comparable


def naive(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    difference = query[:, None].astype(np.float64) - gallery[None].astype(np.float64)
    return (difference**2).sum(-1)


def embeddings(seed: int, count: int, length: int, scale: float = 1.0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)
    return np.maximum(values, 0) * np.float32(scale)


def every_pair(queries: int, gallery: int) -> tuple[np.ndarray, np.ndarray]:
    i, j = np.divmod(np.arange(queries * gallery), gallery)
    return i, j


KINDS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "float32": lambda rng, x: x.astype(np.float32),
    "float64": lambda rng, x: x,
    "very short": lambda rng, x: (1e-30 * x).astype(np.float32),
    "denormal": lambda rng, x: (1e-43 * x).astype(np.float32),
    "very long": lambda rng, x: (1e36 * x).astype(np.float32),
    "far from 0": lambda rng, x: 1e9 + x,
    "beyond float32": lambda rng, x: 1 + 1e-12 * x,
    "one long row": lambda rng, x: (x * np.where(np.arange(len(x)) == 3, 3e37, 1)[:, None]).astype(
        np.float32
    ),
    "any range": lambda rng, x: x * 10.0 ** rng.integers(-20, 20, (len(x), 1)),
    "small integers": lambda rng, x: np.rint(x).astype(np.float32),
    "integers far from 0": lambda rng, x: 4096 + np.rint(x),
    "codes": lambda rng, x: np.sign(x) / 8,
    "decimals": lambda rng, x: np.round(x, 1),
    "one point": lambda rng, x: np.full_like(x, 0.1),
    "long in float64": lambda rng, x: 1e140 * x,
}


def sets(kind: str, length: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([length, len(kind)])
    values = KINDS[kind](rng, rng.standard_normal((33 + 61, length)))
    values[50:60] = values[:10]  # images of both sets
    return values[:33], values[33:]


@pytest.mark.parametrize("length", [1, 2, 9, 130, 600])
@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_float64_s_sum_to_the_last_bit_and_all_else_is_as_far_off_as_it_says(
    kind: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "PAIRS", 7)
    monkeypatch.setattr(distances, "BLOCK", 16)
    query, gallery = sets(kind, length)
    expected = naive(query, gallery)
    found = Distances(query, gallery)
    i, j = every_pair(*expected.shape)
    np.testing.assert_array_equal(found.pairs(i, j), expected[i, j])
    block = found.block(np.arange(len(query)), np.arange(len(gallery)))
    error = np.stack([found.error(q, np.arange(len(gallery))) for q in range(len(query))])
    assert (np.abs(block - expected) <= error).all()
    np.testing.assert_array_equal(found.error(i, j), error[i, j])
    values, error = found.estimates(i, j)
    assert (np.abs(values - expected[i, j]) <= error).all()
    assert (values == expected[i, j])[error == 0].all()


@pytest.mark.parametrize(
    ("kind", "rounds"),
    [
        ("small integers", False),
        ("integers far from 0", False),
        ("codes", False),
        ("float32", True),
    ],
)
def test_products_of_small_integers_round_nothing(kind: str, rounds: bool) -> None:
    found = Distances(*sets(kind, 130))
    assert (found.error(0, np.arange(5)) > 0).all() == rounds


def test_the_bound_is_close_enough_to_spare_exact_distances() -> None:
    query, gallery = embeddings(0, 70, 1536), embeddings(1, 133, 1536)
    found = Distances(query, gallery)
    expected = naive(query, gallery)
    i, j = every_pair(*expected.shape)
    assert (found.error(i, j) < 2e-12 * expected[i, j]).all()
    assert (found.estimates(i, j)[1] < 1e-5 * expected[i, j]).all()


@pytest.mark.parametrize(
    ("kind", "is_hard"),
    [
        ("float32", False),
        ("far from 0", False),
        ("beyond float32", False),
        ("very long", False),
        ("denormal", False),
        ("one point", False),
        ("one long row", True),
        ("any range", True),
    ],
)
def test_what_float32_would_hardly_tell_apart_is_known(kind: str, is_hard: bool) -> None:
    found = Distances(*sets(kind, 130))
    assert found.is_hard == is_hard
    expected = naive(found.query, found.gallery)
    query, gallery = found.prepared()
    assert query.dtype == gallery.dtype == (np.float64 if is_hard else np.float32)
    differs = expected > 1e-6 * np.median(expected)
    ours = naive(query, gallery) * 4.0**found.exponent
    np.testing.assert_allclose(ours[differs], expected[differs], rtol=1e-3)


def test_the_farthest_row_is_named() -> None:
    assert Distances(*sets("one long row", 9)).farthest() == ("gallery", 20)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("float32", np.float32),
        ("codes", np.float32),
        ("far from 0", np.float64),
        ("very long", np.float64),
    ],
)
def test_float32_is_used_where_it_holds_all(kind: str, dtype: type) -> None:
    query, gallery = sets(kind, 9)
    for pair in ((query, gallery), (query.astype(np.float64), gallery)):
        found = comparable(*pair)
        assert found[0].dtype == found[1].dtype == dtype
        np.testing.assert_array_equal(found[0], query)


def test_squares_that_float64_would_lose_are_scaled() -> None:
    query, gallery = sets("float64", 9)
    found = Distances(1e-200 * query, 1e-200 * gallery)
    i, j = every_pair(len(query), len(gallery))
    order = np.argsort(naive(query, gallery), axis=1, kind="stable")
    ours = found.pairs(i, j).reshape(len(query), -1)
    np.testing.assert_array_equal(np.argsort(ours, axis=1, kind="stable"), order)


def test_squares_that_float64_can_not_hold_are_refused_by_row() -> None:
    query, gallery = sets("float64", 9)
    gallery[7, 2] = -1e200
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(UserError, match="gallery features are too long in row 7"),
    ):
        Distances(query, gallery)


def test_identical_images_tie_exactly() -> None:
    query, gallery = embeddings(0, 9, 1536), embeddings(1, 101, 1536)
    found = Distances(query, np.concatenate([gallery, gallery]))
    i, j = every_pair(9, 101)
    np.testing.assert_array_equal(found.pairs(i, j), found.pairs(i, j + 101))
