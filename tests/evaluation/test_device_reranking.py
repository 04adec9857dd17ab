"""The accelerator's form of re-ranking, run on the CPU at hand."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.evaluation import device_reranking, reranking
from pmm_jax.evaluation.counting import ready
from pmm_jax.evaluation.device_reranking import (
    SparseRows,
    averaged,
    device_rows,
    expanded_members,
    half_size,
    reranked_block,
    weights,
)
from pmm_jax.evaluation.reranking import reranked_rows
from pmm_jax.runtime import override_platform


def people(seed: int, count: int) -> np.ndarray:
    """Eight people, some of whose images are the same: neighbors tie."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(9).standard_normal((8, 16))
    features = centers[rng.integers(0, 8, count)] + 0.8 * rng.standard_normal((count, 16))
    features[::5] = features[0]
    return features.astype(np.float32)


def stacked(platform: str, *arguments: Any) -> np.ndarray:
    with override_platform(platform):
        return np.stack([row.copy() for row in reranked_rows(*arguments)])


@pytest.mark.parametrize(
    ("k1", "k2", "weight"),
    [
        (8, 3, 0.3),
        (3, 1, 0.5),
        *(pytest.param(*given, marks=pytest.mark.slow) for given in [(20, 6, 0.0), (3, 3, 1.0)]),
    ],
)
def test_equals_the_sparse_form(
    k1: int, k2: int, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_reranking, "ROWS", 17)
    monkeypatch.setattr(device_reranking, "VALUES", 700)  # seven queries a block
    query, gallery = people(0, 20), people(1, 70)
    found, expected = (stacked(name, query, gallery, k1, k2, weight) for name in ("gpu", "cpu"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_two_thirds_are_those_of_the_published_code() -> None:
    whole = np.arange(200)
    shared, size = np.meshgrid(whole, whole)
    np.testing.assert_array_equal(3 * shared > 2 * size, shared > 2 / 3 * size)


def test_it_runs_where_float32_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def recorded(*arguments: Any) -> Any:
        ran.append(arguments[0].dtype)
        return device_rows(*arguments)

    monkeypatch.setattr(reranking, "device_rows", recorded)
    monkeypatch.setattr(reranking, "sparse_rows", lambda *_: iter(()))
    query, gallery = people(0, 20), people(1, 70)
    with override_platform("gpu"):
        found = list(reranked_rows(query, gallery, 3, 1))
        assert len(found) == 20
        gallery[30] *= 1e7  # in float32, all the others would be one point
        assert list(reranked_rows(query, gallery, 3, 1)) == []
    assert list(reranked_rows(query, gallery, 3, 1)) == []
    assert ran == [np.float32]


def programs() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]:
    def shape(*lengths: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(lengths, dtype)

    count, length, k1, k2, width = 90, 16, 20, 6, 32
    images = shape(count, length)
    indices = shape(count, k1 + 1, dtype=jnp.int32)
    sets = SparseRows(shape(count, width, dtype=jnp.int32), shape(count, width))
    query = jax.eval_shape(ready, shape(20, length), shape(20, dtype=jnp.int32))
    gallery = jax.eval_shape(ready, shape(70, length), shape(70, dtype=jnp.int32))
    theirs = SparseRows(shape(width, 70, dtype=jnp.int32), shape(width, 70))
    farthest, first = shape(count), shape(dtype=jnp.int32)
    return {
        "members": (expanded_members, (indices,), {}),
        "weights": (weights, (images, farthest, sets.members), {}),
        "averaged": (averaged, (shape(count, k2, dtype=jnp.int32), sets), {}),
        "rows": (
            reranked_block,
            (first, query, gallery, farthest, sets, theirs),
            {"size": 8, "weight": 0.3},
        ),
    }


@pytest.mark.parametrize("name", list(programs()))
def test_it_lowers_for_accelerators(name: str) -> None:
    function, arguments, static = programs()[name]
    jitted = jax.jit(function, static_argnames=tuple(static))
    exported = jax.export.export(jitted, platforms=["cuda", "tpu"])(*arguments, **static)
    text = exported.mlir_module()
    assert exported.platforms == ("cuda", "tpu")
    assert "f64" not in text
    # Nothing asks the host, and no call leaves XLA.
    assert not re.findall(r"custom_call|infeed|outfeed|stablehlo\.(?:send|recv)", text)


def test_half_of_an_odd_number_rounds_to_even() -> None:
    assert [half_size(k1) for k1 in (1, 3, 5, 20)] == [1, 3, 3, 11]
