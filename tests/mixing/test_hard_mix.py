"""Hard-Mix against loops, and the sampling of negatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.mixing import hard_mix, nearest_negatives, sample_negatives

N, H, W, C = 4, 3, 2, 5


def random_case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    feature_map = rng.standard_normal((N, H, W, C)).astype(np.float32)
    return feature_map, np.array([2, 3, 0, 0]), rng.random((N, H, W)) < 0.5


def test_mix_against_loops() -> None:
    feature_map, negatives, mask = random_case()
    expected = np.empty_like(feature_map)
    for n in range(N):
        for i in range(H):
            for j in range(W):
                source = n if mask[n, i, j] else negatives[n]
                expected[n, i, j] = feature_map[source, i, j]
    mixed = hard_mix(jnp.asarray(feature_map), jnp.asarray(negatives), jnp.asarray(mask))
    np.testing.assert_array_equal(mixed, expected)
    assert (expected != feature_map).any()


def test_gradient_reaches_anchor_and_negative() -> None:
    feature_map, negatives, mask = random_case()
    weights = np.random.default_rng(1).standard_normal(feature_map.shape).astype(np.float32)
    expected = np.zeros_like(feature_map)
    for n in range(N):
        for i in range(H):
            for j in range(W):
                source = n if mask[n, i, j] else negatives[n]
                expected[source, i, j] += weights[n, i, j]

    def loss(x: jax.Array) -> jax.Array:
        return (hard_mix(x, jnp.asarray(negatives), jnp.asarray(mask)) * weights).sum()

    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(feature_map)), expected, rtol=1e-6)


LABELS = np.array([7, 3, 7, 7, 5, 3, 9, 5, 7])  # not in groups, not of one size
DRAWS = 4000


@functools.cache
def sampled_negatives() -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), DRAWS)
    sample = jax.jit(jax.vmap(sample_negatives, (0, None)))
    return np.asarray(sample(keys, jnp.asarray(LABELS)))


def test_negatives_are_of_another_identity_and_uniform() -> None:
    negatives = sampled_negatives()
    assert negatives.dtype == np.int32
    for anchor, label in enumerate(LABELS):
        others = [i for i, other in enumerate(LABELS) if other != label]
        counts = np.bincount(negatives[:, anchor], minlength=len(LABELS))
        assert counts[others].sum() == DRAWS
        expected = DRAWS / len(others)
        chi_square = sum((counts[i] - expected) ** 2 / expected for i in others)
        # Mean d, variance 2 d; the samples are fixed, so this either holds for good or never.
        freedom = len(others) - 1
        assert chi_square < freedom + 4 * np.sqrt(2 * freedom)


def test_images_sample_independently() -> None:
    negatives = sampled_negatives()
    # Anchors 0 and 2 share an identity, so 5 partners: the same one in about a fifth of samples.
    share = (negatives[:, 0] == negatives[:, 2]).mean()
    assert abs(share - 1 / 5) < 4 * np.sqrt(0.2 * 0.8 / DRAWS)


def test_the_key_decides() -> None:
    labels = jnp.asarray(LABELS)
    first, again, other = (
        np.asarray(sample_negatives(jax.random.key(seed), labels)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


LAYOUTS = [
    (np.array([7, 7, 3, 3, 5, 5, 9, 9]), 2),
    (np.array([7, 7, 3, 3, 5, 5, 9, 9]), 1),
    (np.array([7, 3, 5, 9, 7, 3, 5, 9]), 4),  # the same identities on several devices
    (np.array([7, 7, 7, 3, 3, 3, 5, 5, 5, 9, 9, 9]), 3),  # a device ends inside an identity
    (np.array([7, 3, 5, 9, 2, 4, 6, 8]), 4),  # one image each
]


@pytest.mark.parametrize(("labels", "shards"), LAYOUTS)
def test_each_device_samples_among_its_own(labels: np.ndarray, shards: int) -> None:
    size = len(labels) // shards
    sample = jax.jit(lambda key: sample_negatives(key, jnp.asarray(labels), shards))
    sampled = np.asarray(jax.lax.map(sample, jax.random.split(jax.random.key(1), 300)))
    for anchor, label in enumerate(labels):
        mine = range(anchor // size * size, anchor // size * size + size)
        assert set(sampled[:, anchor]) == {m for m in mine if labels[m] != label}


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_what_a_device_mixes_in_are_the_images_that_it_drew(shards: int) -> None:
    labels = np.repeat(np.arange(4), 2)
    feature_map = np.random.default_rng(0).standard_normal((8, H, W, C)).astype(np.float32)
    negatives = np.concatenate(
        [np.roll(part, len(part) // 2) for part in np.split(np.arange(8), shards)]
    )
    mask = np.random.default_rng(1).random((8, H, W)) < 0.5
    arguments = jnp.asarray(feature_map), jnp.asarray(negatives), jnp.asarray(mask)
    mixed = hard_mix(*arguments, shards)
    np.testing.assert_array_equal(
        mixed, np.where(mask[..., None], feature_map, feature_map[negatives])
    )
    assert (labels[negatives] != labels).all() == (shards <= 2)
    weights = np.random.default_rng(2).standard_normal(feature_map.shape).astype(np.float32)
    one, other = (
        jax.grad(lambda x, s=s: (hard_mix(x, *arguments[1:], s) * weights).sum())(arguments[0])
        for s in (1, shards)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("shards", [1, 2])
def test_nearest_negatives_against_loops(shards: int) -> None:
    labels = np.array([7, 3, 7, 5, 5, 9, 5, 7])
    embeddings = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    embeddings[6] = embeddings[3]  # of its own identity, the nearest of all
    size = 8 // shards
    expected = []
    for n in range(8):
        others = [m for m in range(8) if labels[m] != labels[n] and m // size == n // size]
        expected.append(min(others, key=lambda m: ((embeddings[n] - embeddings[m]) ** 2).sum()))
    found = nearest_negatives(jnp.asarray(embeddings), jnp.asarray(labels), shards)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == jnp.int32
