"""What a run starts with is what its config asks for: looked at just before its first step."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax.sharding import PartitionSpec

from pmm_jax.api import Model
from pmm_jax.config import Config
from pmm_jax.data.augment import normalize
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network, embed
from pmm_jax.model.saliency import SaliencyTrunk
from pmm_jax.training import compile_step, hooks, loop
from pmm_jax.training.state import TrainState
from tests.training.naive_forward import IDS, images


class Started(Exception):
    """A run is about to take its first step."""


class Start(NamedTuple):
    state: TrainState
    saliency: SaliencyTrunk | None
    embed: Any


def started(config: Config, workdir: Path, patch: pytest.MonkeyPatch) -> Start:
    """A run up to its first step."""
    found: list[Any] = []

    def compiled(task: Any, state: TrainState, inputs: Any, length: int, saliency: Any) -> None:
        found[:] = state, saliency

    def make_embed(*arguments: Any) -> Any:
        found.append(original(*arguments))
        raise Started

    original = hooks.make_embed
    patch.setattr(compile_step, "compile_step", compiled)
    patch.setattr(hooks, "make_embed", make_embed)
    with pytest.raises(Started):
        loop.train(config, workdir)
    return Start(*found)


def of_model(config: Config, **fields: Any) -> Config:
    return replace(config, model=replace(config.model, **fields))


@pytest.mark.parametrize("zero", [True, False])
def test_zero_init_last(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zero: bool
) -> None:
    state = started(of_model(tiny, zero_init_last=zero), tmp_path, monkeypatch).state
    for path, value in flatten_dict(state.params).items():
        if path[-2:] == ("bn3", "scale"):
            assert (np.asarray(value) == (0 if zero else 1)).all(), path


@pytest.mark.parametrize("spread", [True, False])
def test_shard_moments(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spread: bool
) -> None:
    config = replace(tiny, optim=replace(tiny.optim, shard_moments=spread))
    state = started(config, tmp_path, monkeypatch).state
    specs = [array.sharding.spec for array in jax.tree.leaves(state.opt_state) if array.ndim]
    assert len(specs) > 40
    assert all(("data" in spec) == spread for spec in specs)
    for array in jax.tree.leaves((state.params, state.batch_stats)):
        assert array.sharding.spec == PartitionSpec()


@pytest.mark.parametrize("flip", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_evaluations_in_training_average_with_mirror_images_if_set(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: bool
) -> None:
    config = replace(tiny, evaluate=replace(tiny.evaluate, flip_average=flip))
    state, _, embed_images = started(config, tmp_path, monkeypatch)
    weights = state.params, state.batch_stats
    network = create_model(config, IDS)
    run = jax.jit(lambda pixels: embed(network, *weights, normalize(pixels)))
    plain, mirrored = (np.asarray(run(x)) for x in (images(), images()[:, :, ::-1]))
    expected = (plain + mirrored) / 2 if flip else plain
    found = embed_images(*weights, jnp.asarray(images()))
    # Two programs round differently, by what the largest values make of it.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.abs(plain - mirrored).max() > 1e-3


def test_the_saliency_trunk_is_the_files(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = create_network(tiny.model, "pmm", IDS)
    params, stats = init_params(network, seed=5)
    file = tmp_path / "salient.safetensors"
    Model("pmm", network, params, stats, tiny.data.image_size).save(file)
    method = replace(tiny.method, name="a_cutmix", saliency_model=str(file))
    start = started(replace(tiny, method=method), tmp_path / "run", monkeypatch)
    assert start.saliency is not None
    jax.tree.map(np.testing.assert_array_equal, start.saliency.params, params["trunk"])
    own = start.state.params["trunk"]["conv1"]["kernel"]
    assert (np.asarray(own) != params["trunk"]["conv1"]["kernel"]).any()
