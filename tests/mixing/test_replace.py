"""What each method feeds a stage, against loops."""

from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import Config, DataConfig, MethodConfig
from pmm_jax.config_check import dropped_rows
from pmm_jax.mixing import MixingSample, mix_features, sample_mixing
from pmm_jax.mixing.batch_drop import batch_drop, sample_drop_row

N, H, W, C = 4, 6, 4, 3
BLOCK, TOP_K = (3, 2), 2
NEGATIVES = np.array([2, 3, 1, 0]), np.array([3, 2, 0, 1])
BLOCKS = [(top, left) for top in range(0, H, 3) for left in range(0, W, 2)]


def drawn() -> tuple[np.ndarray, np.ndarray, MixingSample]:
    rng = np.random.default_rng(0)
    feature_map = rng.standard_normal((N, H, W, C)).astype(np.float32)
    heat = rng.random((N, H, W)).astype(np.float32)
    scores = [jnp.asarray(rng.random((N, len(BLOCKS))).astype(np.float32)) for _ in range(2)]
    negatives = jnp.asarray(NEGATIVES[0]), jnp.asarray(NEGATIVES[1])
    return feature_map, heat, MixingSample(negatives, scores=(scores[0], scores[1]))


def window(block: int) -> tuple[slice, slice]:
    top, left = BLOCKS[block]
    return slice(top, top + 3), slice(left, left + 2)


def naive(
    name: str, stage: int, base: np.ndarray, heat: np.ndarray, draws: MixingSample
) -> np.ndarray:
    """Block by block, as the method's description says."""
    result = base.copy()
    for n in range(N):
        sums = [float(heat[n][window(block)].sum()) for block in range(len(BLOCKS))]
        best = sorted(range(len(BLOCKS)), key=lambda block: -sums[block])[:TOP_K]
        negative = NEGATIVES[stage - 2][n]
        theirs = [float(heat[negative][window(block)].sum()) for block in range(len(BLOCKS))]
        weakest = sorted(range(len(BLOCKS)), key=lambda block: theirs[block])[:TOP_K]
        if name == "random_mix":
            assert draws.scores is not None
            random = np.asarray(draws.scores[stage - 2])[n]
            best = sorted(range(len(BLOCKS)), key=lambda block: -random[block])[:TOP_K]
        for rank, block in enumerate(best):
            here = (n, *window(block))
            if name in ("pmm", "random_mix"):
                result[here] = base[(negative, *window(block))]
            elif name == "cutout":
                result[here] = 0
            elif name == "easy_mix":
                result[here] = base[(negative, *window(weakest[rank]))]
    return result


@pytest.mark.parametrize("name", ["pmm", "cutout", "random_mix", "easy_mix", "none", "cutmix"])
@pytest.mark.parametrize("stage", [2, 3])
def test_a_stages_input_against_loops(name: str, stage: int) -> None:
    base, heat, draws = drawn()
    if name != "random_mix":
        draws = replace(draws, scores=None)
    config = MethodConfig(name=cast(Any, name), top_k=TOP_K, block=BLOCK)
    mixed, keep = mix_features(config, jnp.asarray(base), jnp.asarray(heat), draws, stage)
    expected = naive(name, stage, base, heat, draws)
    np.testing.assert_array_equal(mixed, expected)
    np.testing.assert_array_equal(keep, (expected == base).all(-1))
    assert (expected == base).all() == (name in ("none", "cutmix"))


@pytest.mark.parametrize("name", ["pmm", "cutout", "random_mix", "easy_mix"])
def test_gradients_against_differences(name: str) -> None:
    """The input is linear in the map, so a difference of one step is the derivative."""
    base, heat, draws = drawn()
    if name != "random_mix":
        draws = replace(draws, scores=None)
    config = MethodConfig(name=cast(Any, name), top_k=TOP_K, block=BLOCK)
    weights = np.random.default_rng(1).standard_normal(base.shape).astype(np.float32)

    def loss(base: jax.Array) -> jax.Array:
        return (mix_features(config, base, jnp.asarray(heat), draws, 2)[0] * weights).sum()

    found = np.asarray(jax.grad(loss)(jnp.asarray(base)))
    for place in np.ndindex(N, H, W):
        raised = np.zeros_like(base)
        raised[place] = 1
        expected = (
            naive(name, 2, base + raised, heat, draws) - naive(name, 2, base, heat, draws)
        ) * weights
        np.testing.assert_allclose(found[place].sum(), expected.sum(), rtol=1e-4, atol=1e-5)


def test_easy_mix_in_shards_is_easy_mix_of_each() -> None:
    base, heat, draws = drawn()
    negatives = jnp.asarray([1, 0, 3, 2])
    config = MethodConfig(name="easy_mix", top_k=TOP_K, block=BLOCK)
    draws = MixingSample((negatives, negatives))
    arguments = config, jnp.asarray(base), jnp.asarray(heat), draws, 2
    one, other = mix_features(*arguments, 1)[0], mix_features(*arguments, 2)[0]
    np.testing.assert_array_equal(one, other)


def test_batch_drop_against_loops() -> None:
    feature_map = drawn()[0]
    dropped, keep = batch_drop(jnp.asarray(feature_map), jnp.int32(3), 0.33)
    expected = feature_map.copy()
    expected[:, 3:5] = 0  # round(0.33 * 6) rows
    np.testing.assert_array_equal(dropped, expected)
    np.testing.assert_array_equal(keep, (expected != 0).all(-1))


def test_the_dropped_rows_are_inside_and_everywhere() -> None:
    keys = jax.random.split(jax.random.key(0), 2000)
    corners = np.asarray(jax.vmap(lambda key: sample_drop_row(key, (96, 64), 0.33))(keys))
    counts = np.bincount(corners)
    assert len(counts) == 5
    assert (abs(counts - 400) < 4 * np.sqrt(400)).all()
    assert (dropped_rows(24, 0.33), dropped_rows(1, 0.33)) == (8, 1)


def test_a_method_draws_what_it_needs_and_shares_the_rest() -> None:
    labels = jnp.asarray([0, 0, 1, 1, 2, 2])
    keys = jax.random.split(jax.random.key(0))

    def of(name: str) -> MixingSample:
        method = MethodConfig(name=cast(Any, name), top_k=1, block=BLOCK)
        return sample_mixing(Config(DataConfig(image_size=(96, 64)), method=method), keys, labels)

    pmm, random, bdb = of("pmm"), of("random_mix"), of("bdb")
    assert pmm.negatives is not None
    assert random.negatives is not None
    assert random.scores is not None
    for one, other in zip(pmm.negatives, random.negatives, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (np.asarray(random.scores[0]) != np.asarray(random.scores[1])).all()
    assert random.scores[0].shape == (6, 4)
    assert (pmm.scores, pmm.corner, pmm.box, bdb.negatives) == (None, None, None, None)
    cutmix, attentive = of("cutmix"), of("a_cutmix")
    assert sorted(np.asarray(cutmix.partners)) == list(range(6))
    np.testing.assert_array_equal(cutmix.partners, attentive.partners)
    assert attentive.box is None
