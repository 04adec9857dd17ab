"""The seed decides initial weights, batches, augmentation and negatives, each by itself."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.distributed.sharding import data_mesh, replicated, shard_pytree
from pmm_jax.methods import TrainBatch, create_model
from pmm_jax.methods.pmm import MixingSample
from pmm_jax.training import compile_step
from pmm_jax.training.initial import create_train_state
from pmm_jax.training.setup import training_data
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask
from tests.training.naive_forward import IDS, LABELS, N, images

NO_TX = optax.identity()


def seeded(config: Config, seed: int) -> Config:
    return replace(config, train=replace(config.train, seed=seed))


@pytest.fixture
def only_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training steps that stop at their random part, and give it as metrics."""

    def train_step(
        task: TrainTask, state: TrainState, batch: TrainBatch, _: None
    ) -> tuple[TrainState, dict[str, Any]]:
        return replace(state, step=state.step + 1), {"images": batch.images, "sample": batch.sample}

    monkeypatch.setattr(compile_step, "train_step", train_step)


def random_parts(config: Config, steps: int = 2) -> list[tuple[np.ndarray, MixingSample]]:
    """Augmented images and negatives of a run's first steps, on the same batch."""
    nothing = TrainState(jnp.int32(0), {}, {}, ())
    state = shard_pytree(nothing, replicated(data_mesh(N)))
    run = compile_step.jit_step(TrainTask(create_model(config, IDS), config, NO_TX), state)
    found = []
    for _ in range(steps):
        state, random = run(state, images(), LABELS)
        found.append((np.asarray(random["images"]), jax.device_get(random["sample"])))
    return found


@pytest.mark.usefixtures("only_random")
def test_augmentation_and_negatives_follow_from_the_seed_and_the_step(tiny: Config) -> None:
    one, again, other = (random_parts(seeded(tiny, seed)) for seed in (3, 3, 4))
    for (pixels, sample), (same_pixels, same_sample) in zip(one, again, strict=True):
        np.testing.assert_array_equal(pixels, same_pixels)
        jax.tree.map(np.testing.assert_array_equal, sample, same_sample)
    for (pixels, sample), (other_pixels, other_sample) in [
        *zip(one, other, strict=True),  # another seed
        (one[0], one[1]),  # another step
    ]:
        assert (pixels != other_pixels).any((1, 2, 3)).sum() > N / 2
        assert sample.negatives is not None
        assert other_sample.negatives is not None
        for negatives, others in zip(sample.negatives, other_sample.negatives, strict=True):
            assert (negatives != others).any()


@pytest.mark.slow
@pytest.mark.usefixtures("only_random")
def test_augmentation_is_what_the_config_asks_for(tiny: Config) -> None:
    off: dict[str, Any] = {"flip_probability": 0.0, "erase_probability": 0.0, "crop_padding": 0}
    plain = replace(tiny, data=replace(tiny.data, **off))
    (unchanged, _), _ = random_parts(plain)
    on: dict[str, Any] = {
        "flip_probability": 1.0,
        "erase_probability": 1.0,
        "crop_padding": 2,
        "color_jitter": 0.5,
    }
    for field, value in on.items():
        config = replace(plain, data=replace(plain.data, **{field: value}))
        (found, _), _ = random_parts(config)
        assert (found != unchanged).any((1, 2, 3)).sum() > N / 2, field


def test_initial_weights_follow_from_the_seed(tiny: Config) -> None:
    network = create_model(tiny, IDS)
    one, again, other = (
        jax.device_get(create_train_state(TrainTask(network, seeded(tiny, seed), NO_TX)).params)
        for seed in (3, 3, 4)
    )
    jax.tree.map(np.testing.assert_array_equal, one, again)
    drawn = [
        (value, different)
        for value, different in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        if len(np.unique(value)) > 1
    ]
    assert len(drawn) > 20  # every kernel, and the heads' scales
    for value, different in drawn:
        assert (value != different).mean() > 0.99


def test_batches_follow_from_the_seed(tiny: Config) -> None:
    prepare(tiny.data)
    one, again, other = (
        [training_data(seeded(tiny, seed))[1].batch(i) for i in range(6)] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, again)
    assert (np.sort(one, axis=1) != np.sort(other, axis=1)).any(1).all()
