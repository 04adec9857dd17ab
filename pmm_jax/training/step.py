"""One PMM step, compiled once: augment, forward with mixing, losses, gradients, Adam."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from pmm_jax.config import Config
from pmm_jax.data.augment import augment
from pmm_jax.mixing import Draws, draw_mixing
from pmm_jax.model.guide import Guide
from pmm_jax.model.operations import compiler_options
from pmm_jax.model.pmm import Network, StageOutputs, Tree, train_forward
from pmm_jax.training.losses import batch_hard_triplet
from pmm_jax.training.sharding import mesh_of, whole
from pmm_jax.training.state import TrainState
from pmm_jax.training.target import Target, mix_images

Metrics = dict[str, jax.Array]
Step = Callable[..., tuple[TrainState, Metrics]]
"""The state and what `Feed` gives to the next state."""


def stage_losses(
    outputs: StageOutputs, target: Target, smoothing: float
) -> tuple[list[jax.Array], list[jax.Array]]:
    """Triplet losses and cross entropies, one of each a stage."""
    triplets = [batch_hard_triplet(e, target.main) for e in outputs.embeddings]
    entropies = [target.cross_entropy(x, smoothing) for x in outputs.logits]
    return triplets, entropies


def loss_and_gradient(
    network: Network,
    config: Config,
    params: Tree,
    stats: Tree,
    images: jax.Array,
    labels: jax.Array,
    draws: Draws,
    shards: int = 1,
    guide: Guide | None = None,
) -> tuple[Metrics, Tree, Tree, StageOutputs]:
    """One forward and one backward of a batch, without its random part.

    Args:
        network, config, params, stats: the model, and what is minimised.
        images: (N, H, W, 3), normalised and augmented.
        labels: (N,) int.
        draws: the random choices of the method's mixing.
        shards: parts of the batch that negatives were drawn in.
        guide: of `a_cutmix`; None for the trunk in training.

    Returns:
        The sum `loss`, every stage's `triplet*` and `cross_entropy*`, and `accuracy`: the share of
        the batch that stage I names rightly; the gradient; the statistics after the batch; what
        the stages put out.
    """
    images, target = mix_images(network, config, params, stats, images, labels, draws, guide)

    def loss_of(params: Tree) -> tuple[jax.Array, Any]:
        outputs, new_stats = train_forward(
            network, config, params, stats, images, labels, draws, shards
        )
        triplets, entropies = stage_losses(outputs, target, config.method.label_smoothing)
        metrics = {f"triplet{i}": value for i, value in enumerate(triplets, 1)}
        metrics |= {f"cross_entropy{i}": value for i, value in enumerate(entropies, 1)}
        metrics["accuracy"] = (outputs.logits[0].argmax(1) == target.main).mean()
        return jnp.stack(triplets + entropies).sum(), (metrics, new_stats, outputs)

    (loss, (metrics, new_stats, outputs)), gradient = jax.value_and_grad(loss_of, has_aux=True)(
        params
    )
    return {"loss": loss, **metrics}, gradient, new_stats, outputs


def apply_gradient(
    transform: optax.GradientTransformation,
    state: TrainState,
    gradient: Tree,
    stats: Tree,
    average_decay: float = 0.0,
) -> TrainState:
    """The state after the optimiser's step, with the statistics of its batch.

    The average, if there is one, keeps `average_decay` of itself; fewer in the first steps,
    (1 + t) / (10 + t) after t of them, so that the initial weights are soon forgotten.
    """
    updates, optimizer = transform.update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if average is not None:
        keep = jnp.minimum(average_decay, (1 + state.step) / (10 + state.step))
        average = optax.incremental_update(params, average, 1 - keep)
    return TrainState(state.step + 1, params, stats, optimizer, average)


def apply_step(
    network: Network,
    config: Config,
    transform: optax.GradientTransformation,
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    draws: Draws,
    shards: int = 1,
    guide: Guide | None = None,
) -> tuple[TrainState, Metrics]:
    """The step without its random part: images already augmented, negatives already drawn.

    Arguments and metrics are those of `loss_and_gradient`.
    """
    metrics, gradient, stats, _ = loss_and_gradient(
        network, config, state.params, state.stats, images, labels, draws, shards, guide
    )
    decay = config.optim.average_decay
    return apply_gradient(transform, state, gradient, stats, decay), metrics


def draw(
    config: Config,
    root: jax.Array,
    step: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    shards: int = 1,
) -> tuple[jax.Array, Draws]:
    """The random part of a step: its augmented images, and what its mixing draws.

    Args:
        config: names the method; probabilities and sizes of the augmentation.
        root: key of the run's seed.
        step: scalar int32, counted from 0.
        images: (N, H, W, 3) uint8.
        labels: (N,) int.
        shards: parts of the batch that draw negatives among themselves.
    """
    keys = jax.random.split(jax.random.fold_in(root, step), 3)
    draws = draw_mixing(config, keys[1:], labels, shards)
    return augment(keys[0], images, config.data), draws


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
    guided: bool = False,
) -> jax.stages.Wrapped:
    """The training step before compilation: (state, images, labels) to (state, metrics).

    All randomness comes from (seed, step), so a resumed run repeats what it would have done. The
    state is donated: its old buffers are gone after the call. Instead of images it also takes
    positions, with the images that they count in as a last argument.

    Args:
        network, config, transform: what is trained, and how.
        state: placed on a mesh (sharding.py), or its shapes with their shardings.
        length: steps a call; several take stacked inputs and give stacked metrics.
        guided: take a Guide after the state.
    """
    root = jax.random.key(config.train.seed)
    mesh = mesh_of(state)
    shards = negative_shards(config, mesh.size)

    def one(
        state: TrainState,
        guide: Guide | None,
        source: jax.Array,
        labels: jax.Array,
        pixels: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        images = source if pixels is None else pixels[source]
        images, draws = draw(config, root, state.step, images, labels, shards)
        return apply_step(network, config, transform, state, images, labels, draws, shards, guide)

    def several(
        state: TrainState,
        guide: Guide | None,
        sources: jax.Array,
        labels: jax.Array,
        pixels: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        # The length is fixed: a GPU would ask the host after every turn of another loop.
        return jax.lax.scan(
            lambda state, now: one(state, guide, *now, pixels), state, (sources, labels)
        )

    run = one if length == 1 else several

    def unguided(state: TrainState, *inputs: jax.Array) -> tuple[TrainState, Metrics]:
        return run(state, None, *inputs)

    after = jax.tree.map(lambda array: array.sharding, state), whole(mesh)
    return jax.jit(run if guided else unguided, donate_argnums=0, out_shardings=after)


def make_step(
    network: Network,
    config: Config,
    transform: optax.GradientTransformation,
    state: TrainState,
    inputs: tuple[jax.Array | jax.ShapeDtypeStruct, ...],
    length: int = 1,
    guide: Guide | None = None,
) -> Step:
    """`jit_step`, compiled for such inputs: whatever comes later, it never compiles again."""
    step = jit_step(network, config, transform, state, length, guided=guide is not None)
    if guide is None:
        return step.lower(state, *inputs).compile(compiler_options())
    compiled = step.lower(state, guide, *inputs).compile(compiler_options())
    return lambda state, *inputs: compiled(state, guide, *inputs)
