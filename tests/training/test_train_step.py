"""One training step: its losses, what moves, and what it depends on."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from pmm_jax.config import Config
from pmm_jax.data.augment import augment
from pmm_jax.distributed.sharding import data_mesh, replicated, shard_pytree, split_batch
from pmm_jax.methods import StageOutputs, TrainBatch, create_model
from pmm_jax.methods.pmm import PMM, MixingSample
from pmm_jax.mixing import sample_negatives
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import TrainPass
from pmm_jax.training.compile_step import CompiledStep, compile_step
from pmm_jax.training.optimizer import learning_rate, make_optimizer
from pmm_jax.training.state import TrainState
from pmm_jax.training.train_step import TrainTask, compute_gradients
from tests.training.naive_forward import (
    IDS,
    LABELS,
    N,
    images,
)


def prepare(config: Config) -> tuple[TrainTask, TrainState]:
    network = create_model(config, IDS)
    tx = make_optimizer(config.optim, learning_rate(config.optim, config.train.epochs, 2))
    state = TrainState.create(*init_params(network, config.train.seed), tx)
    return TrainTask(network, config, tx), shard_pytree(state, replicated(data_mesh(N)))


@pytest.fixture(scope="module")
def step(tiny: Config) -> CompiledStep:
    task, state = prepare(tiny)
    batch = (split_batch(data_mesh(N), array, N) for array in (images(), LABELS))
    return compile_step(task, state, tuple(batch))


def take(
    step: CompiledStep, config: Config, seeds: list[int], start: int = 0
) -> tuple[Any, list[Any]]:
    """Steps from a fresh state whose counter stands at `start`, one for each seed of images."""
    _, state = prepare(config)
    state = replace(state, step=shard_pytree(jnp.int32(start), replicated(data_mesh(N))))
    metrics = []
    for seed in seeds:
        batch = (split_batch(data_mesh(N), array, N) for array in (images(seed), LABELS))
        state, found = step(state, *batch)
        metrics.append(jax.device_get(found))
    return jax.device_get(state), metrics


def test_the_loss_is_the_sum_of_six(step: CompiledStep, tiny: Config) -> None:
    _, (metrics,) = take(step, tiny, [0])
    six = [metrics[f"{kind}{i}"] for kind in ("triplet", "cross_entropy") for i in (1, 2, 3)]
    assert set(metrics) == {"loss", "accuracy"} | {
        f"{kind}{i}" for kind in ("triplet", "cross_entropy") for i in (1, 2, 3)
    }
    assert len({float(value) for value in six}) == 6
    np.testing.assert_allclose(metrics["loss"], sum(six), rtol=1e-6)
    assert 0 <= metrics["accuracy"] <= 1


def naive_triplet(embeddings: np.ndarray) -> float:
    total = 0.0
    for a in range(N):
        distances = [float(np.sqrt(((embeddings[a] - embeddings[b]) ** 2).sum())) for b in range(N)]
        farthest = max(d for d, label in zip(distances, LABELS, strict=True) if label == LABELS[a])
        nearest = min(d for d, label in zip(distances, LABELS, strict=True) if label != LABELS[a])
        total += np.log1p(np.exp(farthest - nearest))
    return total / N


def naive_cross_entropy(logits: np.ndarray, smoothing: float = 0.1) -> float:
    total = 0.0
    for n in range(N):
        log_p = logits[n] - np.log(np.exp(logits[n]).sum())
        for c in range(IDS):
            total -= ((1 - smoothing) * (c == LABELS[n]) + smoothing / IDS) * log_p[c]
    return total / N


def test_losses_of_the_step_follow_from_seed_and_step(step: CompiledStep, tiny: Config) -> None:
    _, (metrics,) = take(step, tiny, [0], start=5)
    task, state = prepare(tiny)
    # The documented rule: everything random comes from fold_in(seed, step).
    keys = jax.random.split(jax.random.fold_in(jax.random.key(tiny.train.seed), 5), 3)
    labels = jnp.asarray(LABELS)
    sample = MixingSample((sample_negatives(keys[1], labels), sample_negatives(keys[2], labels)))
    pixels = augment(keys[0], jnp.asarray(images()), tiny.data)
    outputs = jax.device_get(
        jax.jit(
            lambda variables: vars(
                PMM(tiny).forward(
                    TrainPass(task.network, variables), TrainBatch(pixels, labels, sample)
                )
            )
        )(state.variables)
    )
    for i in (1, 2, 3):
        triplet = naive_triplet(outputs["embeddings"][i - 1])
        entropy = naive_cross_entropy(outputs["logits"][i - 1])
        np.testing.assert_allclose(metrics[f"triplet{i}"], triplet, rtol=1e-3)
        np.testing.assert_allclose(metrics[f"cross_entropy{i}"], entropy, rtol=1e-3)
    named = outputs["logits"][0].argmax(1) == LABELS
    assert metrics["accuracy"] == pytest.approx(named.mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_configs_smoothing_is_the_losses(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, smoothing: float
) -> None:
    rng = np.random.default_rng(0)
    logits, embeddings = rng.standard_normal((2, N, IDS)), rng.standard_normal((2, N, 5))
    outputs = StageOutputs(tuple(map(jnp.asarray, embeddings)), tuple(map(jnp.asarray, logits)))
    monkeypatch.setattr(PMM, "forward", lambda *_: outputs)
    config = replace(tiny, method=replace(tiny.method, label_smoothing=smoothing))
    task = TrainTask(create_model(config, IDS), config, optax.identity())
    state = TrainState.create(*init_params(task.network, 0), task.tx)
    batch = TrainBatch(jnp.zeros(()), jnp.asarray(LABELS))
    _, _, metrics, *_ = compute_gradients(task, state, batch)
    for i in (0, 1):
        expected = naive_cross_entropy(logits[i], smoothing)
        np.testing.assert_allclose(metrics[f"cross_entropy{i + 1}"], expected, rtol=1e-5)
    assert metrics["accuracy"] == pytest.approx((logits[0].argmax(1) == LABELS).mean())


def test_the_same_steps_twice_are_the_same_bit_for_bit(step: CompiledStep, tiny: Config) -> None:
    first, first_metrics = take(step, tiny, [0, 1, 2])
    again, again_metrics = take(step, tiny, [0, 1, 2])
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert first_metrics == again_metrics
    assert int(first.step) == 3


def test_the_old_states_memory_is_the_new_ones(step: CompiledStep, tiny: Config) -> None:
    _, state = prepare(tiny)
    batch = (split_batch(data_mesh(N), array, N) for array in (images(), LABELS))
    after, _ = step(state, *batch)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert old.is_deleted()
        assert not new.is_deleted()


def test_every_parameter_and_statistic_moves(step: CompiledStep, tiny: Config) -> None:
    _, state = prepare(tiny)
    before = jax.device_get(state)
    after, _ = take(step, tiny, [0])
    for tree in ("params", "batch_stats"):
        old = flatten_dict(getattr(before, tree), sep="/")
        for name, value in flatten_dict(getattr(after, tree), sep="/").items():
            assert (value != old[name]).any(), name
            assert np.isfinite(value).all(), name


def test_the_step_number_decides_the_randomness(step: CompiledStep, tiny: Config) -> None:
    _, (first,) = take(step, tiny, [0], start=0)
    _, (later,) = take(step, tiny, [0], start=1)
    assert first["cross_entropy1"] != later["cross_entropy1"]  # another augmentation
