"""What a step draws for each method: every option counts, and every key."""

from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import Config, DataConfig, MethodConfig
from pmm_jax.mixing import MixingSample, sample_mixing

LABELS = jnp.asarray([0, 0, 1, 1, 2, 2, 3, 3])
H, W = 96, 64  # a map of 6 x 4 cells


def drawn(name: str, seed: int = 0, shards: int = 1, **fields: Any) -> MixingSample:
    method = MethodConfig(name=cast(Any, name), **{"top_k": 1, "block": (3, 2), **fields})
    config = Config(DataConfig(image_size=(H, W)), method=method)
    return sample_mixing(config, jax.random.split(jax.random.key(seed)), LABELS, shards)


def choices(name: str, seed: int) -> dict[str, np.ndarray]:
    """What a method draws, by name; of both stages where each has its own."""
    found = vars(drawn(name, seed))
    return {
        f"{field}{i}": np.asarray(array)
        for field, value in found.items()
        if value is not None
        for i, array in enumerate(value if isinstance(value, tuple) else (value,))
    }


MAKES = {
    "pmm": {"negatives0", "negatives1"},
    "easy_mix": {"negatives0", "negatives1"},
    "random_mix": {"negatives0", "negatives1", "scores0", "scores1"},
    "bdb": {"corner0"},
    "cutmix": {"box0", "partners0"},
    "a_cutmix": {"partners0"},
}


@pytest.mark.parametrize(("name", "makes"), MAKES.items())
def test_every_choice_follows_its_key(name: str, makes: set[str]) -> None:
    first, again = choices(name, 0), choices(name, 0)
    assert set(first) == makes
    for field, value in first.items():
        np.testing.assert_array_equal(value, again[field])
        others = [choices(name, seed)[field] for seed in (1, 2, 3)]
        assert any((value != other).any() for other in others), field


@pytest.mark.parametrize("name", ["pmm", "random_mix"])
def test_the_stages_draw_apart(name: str) -> None:
    found = choices(name, 0)
    for field in {field[:-1] for field in found}:
        assert (found[f"{field}0"] != found[f"{field}1"]).any()


@pytest.mark.parametrize("name", ["pmm", "random_mix", "easy_mix", "none"])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_negatives_stay_on_their_device(name: str, shards: int) -> None:
    labels, size = np.asarray(LABELS), len(LABELS) // shards
    if shards == 4:  # two identities on each
        labels = labels.reshape(2, 2, 2).transpose(0, 2, 1).ravel()
    for seed in range(3):
        keys = jax.random.split(jax.random.key(seed))
        config = Config(method=MethodConfig(name=cast(Any, name)))
        config = replace(config, data=DataConfig(image_size=(H, W)))
        found = sample_mixing(config, keys, jnp.asarray(labels), shards)
        assert found.negatives is not None
        for negatives in map(np.asarray, found.negatives):
            assert (labels[negatives] != labels).all()
            assert (negatives // size == np.arange(len(labels)) // size).all()


@pytest.mark.parametrize(("share", "rows"), [(0.2, 1), (0.33, 2), (0.5, 3), (1.0, 6)])
def test_bdbs_rectangle_is_as_high_as_it_is_told(share: float, rows: int) -> None:
    corners = {int(choices_of_corner(seed, share)) for seed in range(60)}
    assert corners == set(range(6 - rows + 1))  # of 6 rows, and wholly inside


def choices_of_corner(seed: int, share: float) -> np.ndarray:
    return np.asarray(drawn("bdb", seed, drop_height=share).corner)
