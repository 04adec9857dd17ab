"""One PMM step, compiled once: augment, forward with mixing, losses, gradients, Adam."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pmm_jax.config import Config, DataConfig
from pmm_jax.data.augment import augment
from pmm_jax.mixing import draw_negatives
from pmm_jax.model.pmm import Network, StageOutputs, Tree, train_forward
from pmm_jax.training.losses import batch_hard_triplet, smoothed_cross_entropy
from pmm_jax.training.sharding import mesh_of, whole
from pmm_jax.training.state import TrainState

Metrics = dict[str, jax.Array]
Step = Callable[..., tuple[TrainState, Metrics]]
"""The state and what `Feed` gives to the next state."""


def stage_losses(
    outputs: StageOutputs, labels: jax.Array, smoothing: float
) -> tuple[list[jax.Array], list[jax.Array]]:
    """Triplet losses and cross entropies, one of each a stage."""
    triplets = [batch_hard_triplet(e, labels) for e in outputs.embeddings]
    entropies = [smoothed_cross_entropy(x, labels, smoothing) for x in outputs.logits]
    return triplets, entropies


def loss_and_gradient(
    network: Network,
    config: Config,
    params: Tree,
    stats: Tree,
    images: jax.Array,
    labels: jax.Array,
    negatives: tuple[jax.Array, jax.Array],
    shards: int = 1,
) -> tuple[Metrics, Tree, Tree, StageOutputs]:
    """One forward and one backward of a batch, without its random part.

    Args:
        network, config, params, stats: the model, and what is minimised.
        images: (N, H, W, 3), normalised and augmented.
        labels: (N,) int.
        negatives: for stages II and III, (N,) int.
        shards: parts of the batch that they were drawn in.

    Returns:
        The sum `loss`, every stage's `triplet*` and `cross_entropy*`, and `accuracy`: the share of
        the batch that stage I names rightly; the gradient; the statistics after the batch; what
        the stages put out.
    """

    def loss_of(params: Tree) -> tuple[jax.Array, Any]:
        outputs, new_stats = train_forward(
            network, config, params, stats, images, labels, negatives, shards
        )
        triplets, entropies = stage_losses(outputs, labels, config.method.label_smoothing)
        metrics = {f"triplet{i}": value for i, value in enumerate(triplets, 1)}
        metrics |= {f"cross_entropy{i}": value for i, value in enumerate(entropies, 1)}
        metrics["accuracy"] = (outputs.logits[0].argmax(1) == labels).mean()
        return jnp.stack(triplets + entropies).sum(), (metrics, new_stats, outputs)

    (loss, (metrics, new_stats, outputs)), gradient = jax.value_and_grad(loss_of, has_aux=True)(
        params
    )
    return {"loss": loss, **metrics}, gradient, new_stats, outputs


def apply_gradient(
    transform: optax.GradientTransformation, state: TrainState, gradient: Tree, stats: Tree
) -> TrainState:
    """The state after the optimiser's step, with the statistics of its batch."""
    updates, optimizer = transform.update(gradient, state.optimizer, state.params)
    return TrainState(state.step + 1, optax.apply_updates(state.params, updates), stats, optimizer)


def apply_step(
    network: Network,
    config: Config,
    transform: optax.GradientTransformation,
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    negatives: tuple[jax.Array, jax.Array],
    shards: int = 1,
) -> tuple[TrainState, Metrics]:
    """The step without its random part: images already augmented, negatives already drawn.

    Arguments and metrics are those of `loss_and_gradient`.
    """
    metrics, gradient, stats, _ = loss_and_gradient(
        network, config, state.params, state.stats, images, labels, negatives, shards
    )
    return apply_gradient(transform, state, gradient, stats), metrics


def draw(
    data: DataConfig,
    root: jax.Array,
    step: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    shards: int = 1,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """The random part of a step: its augmented images, and the negatives of stages II and III.

    Args:
        data: probabilities and sizes of the augmentation.
        root: key of the run's seed.
        step: scalar int32, counted from 0.
        images: (N, H, W, 3) uint8.
        labels: (N,) int.
        shards: parts of the batch that draw negatives among themselves.
    """
    augment_key, key2, key3 = jax.random.split(jax.random.fold_in(root, step), 3)
    negatives = draw_negatives(key2, labels, shards), draw_negatives(key3, labels, shards)
    return augment(augment_key, images, data), negatives


def negative_shards(config: Config, devices: int) -> int:
    """Parts of a batch that draw negatives among themselves, by method.negatives.

    A batch lists its identities one after the other, so that a device's part holds two of them
    where it has more images than one identity does.
    """
    per_device = config.data.identities_per_batch * config.data.images_per_identity // devices
    local = config.method.negatives == "shard" and per_device > config.data.images_per_identity
    return devices if local else 1


def jit_step(
    network: Network,
    config: Config,
    transform: optax.GradientTransformation,
    state: TrainState,
    length: int = 1,
) -> jax.stages.Wrapped:
    """The training step before compilation: (state, images, labels) to (state, metrics).

    All randomness comes from (seed, step), so a resumed run repeats what it would have done. The
    state is donated: its old buffers are gone after the call. Instead of images it also takes
    positions, with the images that they count in as a last argument.

    Args:
        network, config, transform: what is trained, and how.
        state: placed on a mesh (sharding.py), or its shapes with their shardings.
        length: steps a call; several take stacked inputs and give stacked metrics.
    """
    root = jax.random.key(config.train.seed)
    mesh = mesh_of(state)
    shards = negative_shards(config, mesh.size)

    def one(
        state: TrainState, source: jax.Array, labels: jax.Array, pixels: jax.Array | None = None
    ) -> tuple[TrainState, Metrics]:
        images = source if pixels is None else pixels[source]
        images, negatives = draw(config.data, root, state.step, images, labels, shards)
        return apply_step(network, config, transform, state, images, labels, negatives, shards)

    def several(
        state: TrainState, sources: jax.Array, labels: jax.Array, pixels: jax.Array | None = None
    ) -> tuple[TrainState, Metrics]:
        # The length is fixed: a GPU would ask the host after every turn of another loop.
        return jax.lax.scan(lambda state, now: one(state, *now, pixels), state, (sources, labels))

    after = jax.tree.map(lambda array: array.sharding, state), whole(mesh)
    return jax.jit(one if length == 1 else several, donate_argnums=0, out_shardings=after)


def make_step(
    network: Network,
    config: Config,
    transform: optax.GradientTransformation,
    state: TrainState,
    inputs: tuple[jax.Array | jax.ShapeDtypeStruct, ...],
    length: int = 1,
) -> Step:
    """`jit_step`, compiled for such inputs: whatever comes later, it never compiles again."""
    step = jit_step(network, config, transform, state, length)
    return step.lower(state, *inputs).compile()
