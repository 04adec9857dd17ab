"""What each method feeds a stage, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import Config, MethodConfig
from pmm_jax.methods import METHODS, TrainBatch
from pmm_jax.methods.pmm import RandomBlocksSample, StageInput

N, H, W, C = 4, 6, 4, 3
BLOCK, TOP_K = (3, 2), 2
NEGATIVES = np.array([2, 3, 1, 0]), np.array([3, 2, 0, 1])
BLOCKS = [(top, left) for top in range(0, H, 3) for left in range(0, W, 2)]


def random_case() -> tuple[np.ndarray, np.ndarray, RandomBlocksSample]:
    rng = np.random.default_rng(0)
    feature_map = rng.standard_normal((N, H, W, C)).astype(np.float32)
    cam = rng.random((N, H, W)).astype(np.float32)
    scores = [jnp.asarray(rng.random((N, len(BLOCKS))).astype(np.float32)) for _ in range(2)]
    negatives = jnp.asarray(NEGATIVES[0]), jnp.asarray(NEGATIVES[1])
    return feature_map, cam, RandomBlocksSample(negatives, (scores[0], scores[1]))


def window(block: int) -> tuple[slice, slice]:
    top, left = BLOCKS[block]
    return slice(top, top + 3), slice(left, left + 2)


def naive(
    name: str, stage: int, base: np.ndarray, cam: np.ndarray, sample: RandomBlocksSample
) -> np.ndarray:
    """Block by block, as the method's description says."""
    result = base.copy()
    for n in range(N):
        sums = [float(cam[n][window(block)].sum()) for block in range(len(BLOCKS))]
        best = sorted(range(len(BLOCKS)), key=lambda block: -sums[block])[:TOP_K]
        negative = NEGATIVES[stage - 2][n]
        theirs = [float(cam[negative][window(block)].sum()) for block in range(len(BLOCKS))]
        weakest = sorted(range(len(BLOCKS)), key=lambda block: theirs[block])[:TOP_K]
        if name == "random_mix":
            random = np.asarray(sample.scores[stage - 2])[n]
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


def mix(
    name: str,
    stage: int,
    base: jax.Array,
    cam: np.ndarray,
    sample: RandomBlocksSample,
    num_shards: int = 1,
) -> tuple[jax.Array, jax.Array]:
    config = Config(method=MethodConfig(name=name, top_k=TOP_K, block=BLOCK))
    batch = TrainBatch(jnp.zeros(()), jnp.arange(N), sample)
    fed = StageInput(stage, base, jnp.asarray(cam), jnp.zeros((N, 1)), batch)
    return METHODS[name](config, num_shards).mix_features(fed)


@pytest.mark.parametrize("name", ["pmm", "cutout", "random_mix", "easy_mix", "none", "cutmix"])
@pytest.mark.parametrize("stage", [2, 3])
def test_a_stages_input_against_loops(name: str, stage: int) -> None:
    base, cam, sample = random_case()
    mixed, mask = mix(name, stage, jnp.asarray(base), cam, sample)
    expected = naive(name, stage, base, cam, sample)
    np.testing.assert_array_equal(mixed, expected)
    np.testing.assert_array_equal(mask, (expected == base).all(-1))
    assert (expected == base).all() == (name in ("none", "cutmix"))


@pytest.mark.parametrize("name", ["pmm", "cutout", "random_mix", "easy_mix"])
def test_gradients_against_differences(name: str) -> None:
    """The input is linear in the map, so a difference of one step is the derivative."""
    base, cam, sample = random_case()
    weights = np.random.default_rng(1).standard_normal(base.shape).astype(np.float32)

    def loss(base: jax.Array) -> jax.Array:
        return (mix(name, 2, base, cam, sample)[0] * weights).sum()

    found = np.asarray(jax.grad(loss)(jnp.asarray(base)))
    for place in np.ndindex(N, H, W):
        raised = np.zeros_like(base)
        raised[place] = 1
        expected = (
            naive(name, 2, base + raised, cam, sample) - naive(name, 2, base, cam, sample)
        ) * weights
        np.testing.assert_allclose(found[place].sum(), expected.sum(), rtol=1e-4, atol=1e-5)


def test_easy_mix_in_shards_is_easy_mix_of_each() -> None:
    base, cam, sample = random_case()
    negatives = jnp.asarray([1, 0, 3, 2])
    sample = RandomBlocksSample((negatives, negatives), sample.scores)
    one, other = (mix("easy_mix", 2, jnp.asarray(base), cam, sample, n)[0] for n in (1, 2))
    np.testing.assert_array_equal(one, other)
