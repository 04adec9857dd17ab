"""One PMM step, compiled once: augment, forward with mixing, losses, gradients, Adam."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pmm_jax.config import Config
from pmm_jax.data.augment import augment
from pmm_jax.mixing import draw_negatives
from pmm_jax.model.pmm import Network, StageOutputs, Tree, train_forward
from pmm_jax.training.losses import batch_hard_triplet, smoothed_cross_entropy
from pmm_jax.training.state import TrainState

Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, jax.Array, jax.Array], tuple[TrainState, Metrics]]


def stage_losses(
    outputs: StageOutputs, labels: jax.Array, smoothing: float
) -> tuple[list[jax.Array], list[jax.Array]]:
    """Triplet losses and cross entropies, one of each a stage."""
    triplets = [batch_hard_triplet(e, labels) for e in outputs.embeddings]
    entropies = [smoothed_cross_entropy(x, labels, smoothing) for x in outputs.logits]
    return triplets, entropies


def apply_step(
    network: Network,
    config: Config,
    transform: optax.GradientTransformation,
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    negatives: tuple[jax.Array, jax.Array],
) -> tuple[TrainState, Metrics]:
    """The step without its random part: images already augmented, negatives already drawn.

    Args:
        network, config, transform: what is trained, and how.
        state: before the step.
        images: (N, H, W, 3), normalised.
        labels: (N,) int.
        negatives: for stages II and III, (N,) int.

    Returns:
        The state after the step; the sum `loss`, every stage's `triplet*` and `cross_entropy*`,
        and `accuracy`: the share of the batch that stage I names rightly.
    """

    def loss_of(params: Tree) -> tuple[jax.Array, Any]:
        outputs, stats = train_forward(
            network, config, params, state.stats, images, labels, negatives
        )
        triplets, entropies = stage_losses(outputs, labels, config.method.label_smoothing)
        metrics = {f"triplet{i}": value for i, value in enumerate(triplets, 1)}
        metrics |= {f"cross_entropy{i}": value for i, value in enumerate(entropies, 1)}
        metrics["accuracy"] = (outputs.logits[0].argmax(1) == labels).mean()
        return jnp.stack(triplets + entropies).sum(), (stats, metrics)

    (loss, (stats, metrics)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, optimizer = transform.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, stats, optimizer), {"loss": loss, **metrics}


def make_step(network: Network, config: Config, transform: optax.GradientTransformation) -> Step:
    """The jitted training step: (state, uint8 images, labels) to (state, metrics).

    All randomness comes from (seed, step), so a resumed run repeats what it would have done. The
    state is donated: its old buffers are gone after the call.
    """
    root = jax.random.key(config.train.seed)

    def step(state: TrainState, images: jax.Array, labels: jax.Array) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(root, state.step)
        augment_key, key2, key3 = jax.random.split(key, 3)
        images = augment(augment_key, images, config.data)
        negatives = draw_negatives(key2, labels), draw_negatives(key3, labels)
        return apply_step(network, config, transform, state, images, labels, negatives)

    return jax.jit(step, donate_argnums=0)
