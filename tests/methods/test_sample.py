"""What a step samples for each method: every option counts, and every key."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.config import Config, DataConfig, MethodConfig
from pmm_jax.methods import METHODS

LABELS = jnp.asarray([0, 0, 1, 1, 2, 2, 3, 3])
H, W = 96, 64  # a map of 6 x 4 cells


def sampled(
    name: str, seed: int = 0, shards: int = 1, labels: jax.Array = LABELS, **fields: Any
) -> Any:
    method = MethodConfig(name=name, **{"top_k": 1, "block": (3, 2), **fields})
    config = Config(DataConfig(image_size=(H, W)), method=method)
    return METHODS[name](config, shards).sample(jax.random.split(jax.random.key(seed)), labels)


def choices(name: str, seed: int) -> dict[str, np.ndarray]:
    """What a method samples, by path."""
    found, _ = jax.tree.flatten_with_path(sampled(name, seed))
    return {jax.tree_util.keystr(path): np.asarray(array) for path, array in found}


MAKES = {
    "pmm": {".negatives[0]", ".negatives[1]"},
    "easy_mix": {".negatives[0]", ".negatives[1]"},
    "random_mix": {".negatives[0]", ".negatives[1]", ".scores[0]", ".scores[1]"},
    "cutout": set(),
    "none": set(),
    "baseline": set(),
    "bdb": {""},
    "cutmix": {".box", ".partners"},
    "a_cutmix": {""},
}


def test_every_method_is_tried() -> None:
    assert set(MAKES) == set(METHODS)


@pytest.mark.parametrize(("name", "makes"), MAKES.items())
def test_every_choice_follows_its_key(name: str, makes: set[str]) -> None:
    first, again = choices(name, 0), choices(name, 0)
    assert set(first) == makes
    for field, value in first.items():
        np.testing.assert_array_equal(value, again[field])
        others = [choices(name, seed)[field] for seed in (1, 2, 3)]
        assert any((value != other).any() for other in others), field


@pytest.mark.parametrize("name", ["pmm", "random_mix"])
def test_the_stages_sample_independently(name: str) -> None:
    found = choices(name, 0)
    for field in {path.partition("[")[0] for path in found}:
        assert (found[f"{field}[0]"] != found[f"{field}[1]"]).any()


@pytest.mark.parametrize("name", ["pmm", "random_mix", "easy_mix"])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_negatives_stay_on_their_device(name: str, shards: int) -> None:
    labels, size = np.asarray(LABELS), len(LABELS) // shards
    if shards == 4:  # two identities on each
        labels = labels.reshape(2, 2, 2).transpose(0, 2, 1).ravel()
    for seed in range(3):
        found = sampled(name, seed, shards, jnp.asarray(labels))
        for negatives in map(np.asarray, found.negatives):
            assert (labels[negatives] != labels).all()
            assert (negatives // size == np.arange(len(labels)) // size).all()


@pytest.mark.parametrize(("drop_ratio", "rows"), [(0.2, 1), (0.33, 2), (0.5, 3), (1.0, 6)])
def test_bdbs_rectangle_has_the_drop_ratios_height(drop_ratio: float, rows: int) -> None:
    corners = {int(choices_of_corner(seed, drop_ratio)) for seed in range(60)}
    assert corners == set(range(6 - rows + 1))  # of 6 rows, and wholly inside


def choices_of_corner(seed: int, drop_ratio: float) -> np.ndarray:
    return np.asarray(sampled("bdb", seed, drop_ratio=drop_ratio))


def test_methods_share_what_they_have_in_common() -> None:
    pmm, random = sampled("pmm"), sampled("random_mix")
    for one, other in zip(pmm.negatives, random.negatives, strict=True):
        np.testing.assert_array_equal(one, other)
    assert random.scores[0].shape == (8, 4)
    np.testing.assert_array_equal(sampled("cutmix").partners, sampled("a_cutmix"))
    assert sorted(np.asarray(sampled("a_cutmix"))) == list(range(8))
