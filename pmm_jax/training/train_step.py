"""One training step: losses of every stage, their gradient, the update.

Where arrays lie, how a step is compiled, and several steps a call are in compile_step.py.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pmm_jax.config import Config
from pmm_jax.data.augment import augment
from pmm_jax.methods import Method, StageOutputs, Target, TrainBatch, create_model, get_method
from pmm_jax.model.pmm import Network, TrainPass, Tree
from pmm_jax.model.saliency import SaliencyTrunk
from pmm_jax.training.losses import (
    batch_hard_triplet,
    center_loss,
    move_centers,
    smoothed_cross_entropy,
)
from pmm_jax.training.optimizer import make_optimizer
from pmm_jax.training.state import TrainState

Metrics = dict[str, jax.Array]
Centers = tuple[jax.Array, ...] | None


@dataclass(frozen=True)
class TrainTask:
    """Constants of a compiled step: network, config and optimizer."""

    network: Network
    config: Config
    tx: optax.GradientTransformation
    num_shards: int = 1
    """Equal parts of the batch that sample negatives among themselves."""

    @cached_property
    def method(self) -> Method:
        """Method that the config names."""
        return get_method(self.config)(self.config, self.num_shards)


def create_task(
    config: Config, num_ids: int, schedule: optax.Schedule, devices: int = 1
) -> TrainTask:
    """The task that a config names.

    Args:
        config: of the run.
        num_ids: training identities.
        schedule: learning rate of a step, counted from 0.
        devices: that each batch is split over.
    """
    tx = make_optimizer(config.optim, schedule)
    return TrainTask(create_model(config, num_ids), config, tx, negative_shards(config, devices))


def negative_shards(config: Config, devices: int) -> int:
    """Parts of a batch that sample negatives among themselves, by method.negatives.

    A batch lists its identities one after the other, so that a device's part holds two of them
    where it has more images than one identity does.
    """
    per_device = config.data.identities_per_batch * config.data.images_per_identity // devices
    local = config.method.negatives == "shard" and per_device > config.data.images_per_identity
    return devices if local else 1


def train_step(
    task: TrainTask, state: TrainState, batch: TrainBatch, saliency: SaliencyTrunk | None = None
) -> tuple[TrainState, Metrics]:
    """One step of the optimizer on one batch.

    Args:
        task: model, losses and optimizer.
        state: before the step.
        batch: of N images, as `sample_batch` makes it.
        saliency: of `a_cutmix`; None for the trunk in training.

    Returns:
        The state after the step; and the sum `loss`, every stage's `triplet*`, `cross_entropy*`
        and, before it is weighted, `center*` where that is on, and `accuracy`, the fraction of the
        batch that stage I classifies correctly.
    """

    def computed(frozen: tuple[str, ...]) -> tuple[Tree, Tree, Metrics, Centers]:
        grads, batch_stats, metrics, _, centers = compute_gradients(
            task, state, batch, saliency, frozen
        )
        return grads, batch_stats, metrics, centers

    optim = task.config.optim
    if optim.freeze_steps:
        grads, batch_stats, metrics, centers = jax.lax.cond(
            state.step < optim.freeze_steps, lambda: computed(("trunk",)), lambda: computed(())
        )
    else:
        grads, batch_stats, metrics, centers = computed(())
    state = state.apply_gradients(task.tx, grads, batch_stats, optim.ema_decay)
    return replace(state, centers=centers), metrics


def compute_gradients(
    task: TrainTask,
    state: TrainState,
    batch: TrainBatch,
    saliency: SaliencyTrunk | None = None,
    frozen: tuple[str, ...] = (),
) -> tuple[Tree, Tree, Metrics, StageOutputs, Centers]:
    """One forward and one backward pass; metrics are those of `train_step`.

    Args:
        task: as of `train_step`, and so on.
        state: before the step.
        batch: of N images.
        saliency: of `a_cutmix`.
        frozen: modules that stay as they are; their gradient is 0.

    Returns:
        The gradient, the statistics after the batch, the metrics, what the stages put out, the
        center loss's centers after the batch.
    """
    network, smoothing = task.network, task.config.method.label_smoothing
    trunk = saliency or SaliencyTrunk.of(network, **state.variables)
    batch, target = task.method.mix_images(batch, partial(trunk.saliency, network.compute_dtype))

    def loss_fn(params: Tree) -> tuple[jax.Array, Any]:
        net = TrainPass(network, {**state.variables, "params": params}, frozen)
        outputs = task.method.forward(net, batch)
        triplets, entropies = compute_losses(outputs, target, smoothing)
        metrics = {f"triplet{i}": value for i, value in enumerate(triplets, 1)}
        metrics |= {f"cross_entropy{i}": value for i, value in enumerate(entropies, 1)}
        metrics["accuracy"] = (outputs.logits[0].argmax(1) == target.dominant_labels).mean()
        loss = jnp.stack(triplets + entropies).sum()
        if state.centers is not None:
            losses = [
                center_loss(embeddings, target.dominant_labels, centers)
                for embeddings, centers in zip(outputs.embeddings, state.centers, strict=True)
            ]
            metrics |= {f"center{i}": value for i, value in enumerate(losses, 1)}
            loss += task.config.method.center_loss * jnp.stack(losses).sum()
        return loss, (net.batch_stats, metrics, outputs)

    (loss, (batch_stats, metrics, outputs)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
        state.params
    )
    moved = state.centers and tuple(
        move_centers(embeddings, target.dominant_labels, centers)
        for embeddings, centers in zip(outputs.embeddings, state.centers, strict=True)
    )
    return grads, batch_stats, {"loss": loss, **metrics}, outputs, moved


def compute_losses(
    outputs: StageOutputs, target: Target, smoothing: float
) -> tuple[list[jax.Array], list[jax.Array]]:
    """Triplet losses and cross entropies, one of each per stage (paper, eq. 3)."""
    triplets = [batch_hard_triplet(e, target.dominant_labels) for e in outputs.embeddings]
    entropies = [
        target.average(partial(smoothed_cross_entropy, x, smoothing=smoothing))
        for x in outputs.logits
    ]
    return triplets, entropies


def sample_batch(
    task: TrainTask, key: jax.Array, images: jax.Array, labels: jax.Array
) -> TrainBatch:
    """The random part of a step: augmented images, and what the method's mixing samples.

    Args:
        task: names the method; probabilities and sizes of the augmentation.
        key: random key of this step.
        images: (N, H, W, 3) uint8.
        labels: (N,) int.
    """
    keys = jax.random.split(key, 3)
    sample = task.method.sample(keys[1:], labels)
    return TrainBatch(augment(keys[0], images, task.config.data), labels, sample)
