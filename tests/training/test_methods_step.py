"""Methods of images in the losses, and a training pass of each method."""

from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pmm_jax.config import Config
from pmm_jax.methods import METHODS, MixedTarget, StageOutputs, Target, TrainBatch, get_method
from pmm_jax.model.saliency import SaliencyTrunk
from pmm_jax.training.losses import batch_hard_triplet
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import (
    TrainTask,
    compute_gradients,
    compute_losses,
    sample_batch,
)
from tests.training.naive_forward import IDS, LABELS, N, forward, images, random_model

PARTNERS = np.array([2, 0, 1, 5, 3, 4, 7, 6])


@pytest.mark.parametrize("share", [0.7, 0.5, 0.2])
def test_mixed_labels_weigh_the_identity_loss_and_the_larger_area_names_the_triplet(
    share: float,
) -> None:
    rng = np.random.default_rng(0)
    logits, embeddings = rng.standard_normal((N, IDS)), rng.standard_normal((N, 5))
    others = LABELS[PARTNERS]
    target = MixedTarget(jnp.asarray(LABELS), jnp.asarray(others), jnp.float32(share))
    outputs = StageOutputs((jnp.asarray(embeddings),), (jnp.asarray(logits),))
    (triplet,), (entropy,) = compute_losses(outputs, target, 0.1)
    expected = 0.0
    for n in range(N):
        log_p = logits[n] - np.log(np.exp(logits[n]).sum())
        for c in range(IDS):
            mixed = share * (c == LABELS[n]) + (1 - share) * (c == others[n])
            expected -= (0.9 * mixed + 0.1 / IDS) * log_p[c] / N
    np.testing.assert_allclose(entropy, expected, rtol=1e-5)
    main = LABELS if share >= 0.5 else others
    by_main = batch_hard_triplet(jnp.asarray(embeddings), jnp.asarray(main))
    np.testing.assert_allclose(triplet, by_main, rtol=1e-6)


def of(tiny: Config, name: str) -> Config:
    method = replace(tiny.method, name=cast(Any, name), top_k=1)
    return replace(tiny, method=method)


@pytest.mark.usefixtures("x64")
def test_attentive_cutmix_looks_with_the_trunk_in_training_or_another(tiny: Config) -> None:
    config = of(tiny, "a_cutmix")
    network, params, stats = random_model(config)
    pixels = jnp.asarray(images() / 128.0 - 1)
    batch = TrainBatch(pixels, jnp.asarray(LABELS), jnp.asarray(PARTNERS))

    def mix(trunk: SaliencyTrunk) -> tuple[np.ndarray, Target]:
        saliency = partial(trunk.saliency, network.compute_dtype)
        mixed, target = get_method(config)(config).mix_images(batch, saliency)
        return np.asarray(mixed.images), target

    own = SaliencyTrunk.of(network, params, stats)
    mixed, target = mix(own)
    assert isinstance(target, MixedTarget)
    np.testing.assert_array_equal(target.mixed_labels, LABELS[PARTNERS])
    cam = np.asarray(own.saliency(network.compute_dtype, pixels))
    for n in range(N):
        sums = {(r, c): cam[PARTNERS[n], r : r + 2, c].sum() for r in (0, 2, 4) for c in (0, 1)}
        row, column = max(sums, key=lambda place: sums[place])
        expected = np.array(pixels[n])
        window = slice(16 * row, 16 * (row + 2)), slice(16 * column, 16 * (column + 1))
        expected[window] = pixels[PARTNERS[n]][window]
        np.testing.assert_array_equal(mixed[n], expected)
    upside_down = SaliencyTrunk(own.trunk, jax.tree.map(lambda x: -x, own.params), own.batch_stats)
    assert (mix(upside_down)[0] != mixed).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_pass_of_each_method_moves_every_parameter(tiny: Config, name: str) -> None:
    with jax.enable_x64(True):
        config = of(tiny, name)
        network, params, stats = random_model(config)
        labels = jnp.asarray(LABELS)
        task = TrainTask(network, config, optax.identity())
        state = TrainState.create(params, stats, task.tx)
        batch = sample_batch(task, jax.random.key(0), jnp.asarray(images()), labels)
        batch = replace(batch, images=batch.images.astype(jnp.float64))

        @jax.jit
        def run(batch: TrainBatch) -> tuple:
            grads, moved, metrics, outputs, _ = compute_gradients(task, state, batch)
            return metrics, grads, moved, outputs.masks

        metrics, gradient, moved, masks = jax.device_get(run(batch))
    heads = {"baseline": 1, "bdb": 2}.get(name, 3)
    names = {f"{loss}{i}" for loss in ("triplet", "cross_entropy") for i in range(1, heads + 1)}
    assert set(metrics) == names | {"loss", "accuracy"}
    assert metrics["loss"] == pytest.approx(sum(metrics[loss] for loss in names))
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert (leaf != 0).any()
    for before, after in zip(jax.tree.leaves(stats), jax.tree.leaves(moved), strict=True):
        assert (before != after).any()
    replaced = METHODS[name].level == "feature"
    assert all((~mask).any() == replaced for mask in masks)


def test_bdbs_second_branch_sees_the_part_map_without_the_rows(tiny: Config) -> None:
    method = replace(tiny.method, name="bdb", drop_ratio=0.5)
    found = forward(replace(tiny, method=method), jnp.int32(2))
    expected = found["part_map"].copy()
    expected[:, 2:5] = 0  # half of 6 rows
    np.testing.assert_allclose(found["inputs"][1], expected, rtol=1e-9, atol=1e-12)
    (mask,) = found["masks"]
    assert (mask == (np.arange(6) < 2)[None, :, None] | (np.arange(6) >= 5)[None, :, None]).all()
    assert [embedding.shape[1] for embedding in found["embeddings"]] == [16, 32]


def test_hardest_negatives_are_the_nearest_by_the_stage_before(tiny: Config) -> None:
    method = replace(tiny.method, mining="hardest", top_k=1)
    found = forward(replace(tiny, method=method))
    for stage in (2, 3):
        embeddings = found["embeddings"][stage - 2]
        for n in range(N):
            others = [m for m in range(N) if LABELS[m] != LABELS[n]]
            nearest = min(others, key=lambda m: ((embeddings[n] - embeddings[m]) ** 2).sum())
            gone = ~found["masks"][stage - 2][n]
            assert gone.any()
            part_map, mixed = found["part_map"], found["inputs"][stage - 1]
            np.testing.assert_array_equal(mixed[n][gone], part_map[nearest][gone])
            np.testing.assert_array_equal(mixed[n][~gone], part_map[n][~gone])
