"""Heats of a trained network against the chain rule written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import ModelConfig
from pmm_jax.model.explain import classify, match_cams, stage_cams
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Kind, Network, Tree, create_network, embed, inference_heads

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)
IDS, N = 5, 8
EPS = 1e-5

pytestmark = pytest.mark.usefixtures("x64")


def made(kind: Kind) -> tuple[Network, Tree, Tree]:
    """A network whose statistics and biases are not those of a start."""
    network = create_network(SIZES, kind, IDS, jnp.float64)._replace(compute_dtype=jnp.float64)
    params, stats = init_params(network, 0)
    rng = np.random.default_rng(1)
    # Vectors alone, upwards: kernels that are all positive would make maps of 1e14.
    moved = jax.tree.map(
        lambda x: x + 0.1 * rng.random(x.shape) if x.ndim == 1 else x, (params, stats)
    )
    return network, *jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), moved)


def images(seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal((N, 64, 32, 3)))


def back_through_head(params: Tree, stats: Tree, x: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Heat of the sum of embedding x wanted, (N, embedding_size), of average or maximum pooling.

    Each spreads a channel's derivative over h w cells or puts it into one: its mean is the same.
    """
    pooled = x.max((1, 2)) if params["pooling"] == "max" else x.mean((1, 2))
    scale = params["bn"]["scale"] / np.sqrt(stats["bn"]["var"] + EPS)
    reduced = pooled @ params["reduction"]["kernel"] + params["reduction"]["bias"]
    normed = (reduced - stats["bn"]["mean"]) * scale + params["bn"]["bias"]
    by_channel = ((wanted * (normed > 0) * scale) @ params["reduction"]["kernel"].T) / (
        x.shape[1] * x.shape[2]
    )
    return np.maximum(np.einsum("nhwc,nc->nhw", x, by_channel), 0)


def parts(network: Network, params: Tree, stats: Tree, batch: jax.Array) -> list[tuple]:
    """Name, map and embedding of each head."""
    heads = inference_heads(network, params, stats, batch)
    names = ["stage1", *network.part_heads]
    pooling = {name: "average" if name == "stage1" else "max" for name in names}
    return [
        (
            {**jax.tree.map(np.asarray, params[name]), "pooling": pooling[name]},
            jax.tree.map(np.asarray, stats[name]),
            np.asarray(x),
            np.asarray(head(x)[0]),
        )
        for name, (head, x) in zip(names, heads, strict=True)
    ]


@pytest.mark.parametrize(
    ("kind", "heads"), [("pmm", 3), pytest.param("bdb", 2, marks=pytest.mark.slow), ("baseline", 1)]
)
def test_the_cam_of_an_identity(kind: Kind, heads: int) -> None:
    model, batch, labels = made(kind), images(2), np.arange(N) % IDS
    cams = np.asarray(stage_cams(*model, batch, jnp.asarray(labels)))
    assert cams.shape == (N, heads, 4, 2)
    for stage, (params, stats, x, _) in enumerate(parts(*model, batch)):
        wanted = np.asarray(params["classifier"]["kernel"]).T[labels]
        expected = back_through_head(params, stats, x, wanted)
        assert (expected > 0).any()
        np.testing.assert_allclose(cams[:, stage], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "kind", [*(pytest.param(kind, marks=pytest.mark.slow) for kind in ("pmm", "bdb")), "baseline"]
)
def test_the_cams_of_a_match(kind: Kind) -> None:
    model, one, other = made(kind), images(3), images(4)
    found = match_cams(*model, one, other)
    sides = parts(*model, one), parts(*model, other)
    for cams, mine, theirs in zip(found, sides, sides[::-1], strict=True):
        for stage, (params, stats, x, _) in enumerate(mine):
            expected = back_through_head(params, stats, x, theirs[stage][3])
            assert (expected > 0).any()
            np.testing.assert_allclose(cams[:, stage], expected, rtol=1e-9, atol=1e-12)


def test_a_bare_trunk_explains_a_match_and_no_identity() -> None:
    model, one, other = made("trunk"), images(3), images(4)
    maps = np.asarray(inference_heads(*model, one)[0][1])
    weights = np.asarray(embed(*model, other)) / (maps.shape[1] * maps.shape[2])
    expected = np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0)
    np.testing.assert_allclose(match_cams(*model, one, other)[0][:, 0], expected, rtol=1e-9)
    for identify in (classify, stage_cams):
        with pytest.raises(ValueError, match="no identities"):
            identify(*model, one)


def test_by_default_the_identity_is_the_one_the_heads_agree_on() -> None:
    model, batch = made("pmm"), images(5)
    logits = np.sum([np.asarray(head(x)[1]) for head, x in inference_heads(*model, batch)], axis=0)
    labels = jnp.asarray(logits.argmax(1))
    np.testing.assert_array_equal(classify(*model, batch), labels)
    np.testing.assert_array_equal(stage_cams(*model, batch), stage_cams(*model, batch, labels))
