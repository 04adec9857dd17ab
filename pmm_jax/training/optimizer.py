"""Adam with L2 in the gradient, or AdamW; and the learning rate by epoch."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from pmm_jax.config import OptimConfig


def learning_rate(optim: OptimConfig, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate of a step, counted from 0.

    `step` is the release's: with e = 1, 2, ... the epoch, peak / 10 * (e // warmup_step_epochs + 1)
    up to warmup_epochs (1e-4 to 1e-3 in ten steps) but never above the peak, then the peak, a tenth
    of it from milestones[0] and a hundredth from milestones[1].

    `cosine` climbs linearly over warmup_epochs, stays at the peak up to delay_epochs, then falls
    along a half cosine, to min_lr just after the last step.
    """
    first, second = optim.milestones

    def piecewise_constant(step: jax.Array) -> jax.Array:
        epoch = step // steps_per_epoch + 1
        climbing = jnp.minimum(0.1 * (epoch // optim.warmup_step_epochs + 1), 1.0)
        factor = jnp.where(epoch < second, 0.1, 0.01)
        factor = jnp.where(epoch < first, 1.0, factor)
        return optim.peak_lr * jnp.where(epoch <= optim.warmup_epochs, climbing, factor)

    def cosine(step: jax.Array) -> jax.Array:
        warmup, total = optim.warmup_epochs * steps_per_epoch, epochs * steps_per_epoch
        climbing = (step + 1) / max(warmup, 1)
        start = max(warmup, optim.delay_epochs * steps_per_epoch)
        passed = (step - start) / max(total - start, 1)
        falling = 0.5 * (1 + jnp.cos(math.pi * jnp.clip(passed, 0, 1)))
        least = optim.min_lr
        falling = least + (optim.peak_lr - least) * falling
        return jnp.where(step < warmup, optim.peak_lr * climbing, falling)

    return piecewise_constant if optim.schedule == "step" else cosine


def make_optimizer(optim: OptimConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """PyTorch's Adam or AdamW; with freeze_steps, the trunk's begins after those.

    Adam's weight decay is L2, which joins the gradient before the moments; AdamW (Loshchilov and
    Hutter, 2019) decays the kernels alone. A frozen trunk is skipped whole, as fast-reid's
    optimizer does it: its first step is Adam's first, at the rate that all have by then.
    """
    frozen = optim.freeze_steps
    if not frozen:
        return _adam(optim, schedule)
    thawed = _adam(optim, lambda count: schedule(count + frozen))
    return optax.partition(
        {
            "trunk": optax.conditionally_mask(thawed, lambda step: step >= frozen),
            "others": _adam(optim, schedule),
        },
        lambda params: {name: "trunk" if name == "trunk" else "others" for name in params},
    )


def _adam(optim: OptimConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    # An identity in its place would be a part of every checkpoint's state.
    centralized = [] if optim.centralize == "none" else [_centralize(optim.centralize)]
    if optim.optimizer == "adamw":
        adamw = optax.adamw(
            schedule, *optim.betas, optim.eps, weight_decay=optim.weight_decay, mask=_kernels
        )
        return optax.chain(*centralized, adamw) if centralized else adamw
    return optax.chain(
        optax.add_decayed_weights(optim.weight_decay),
        *centralized,
        optax.adam(schedule, *optim.betas, optim.eps),
    )


def _centralize(which: Literal["classifiers", "kernels"]) -> optax.GradientTransformation:
    """Gradient centralization (Yong et al., 2020, equation 1), as its authors' Adam has it.

    optax.centralize takes the mean over a kernel's outputs where, as in Flax, they come last.
    """

    def one(path: tuple[Any, ...], gradient: jax.Array) -> jax.Array:
        chosen = which == "kernels" or any(name.key == "classifier" for name in path)
        if gradient.ndim < 2 or not chosen:
            return gradient
        return gradient - gradient.mean(tuple(range(gradient.ndim - 1)), keepdims=True)

    return optax.stateless(lambda grads, _: jax.tree_util.tree_map_with_path(one, grads))


def _kernels(params: optax.Params) -> optax.Params:
    """Mask of the kernels: False for biases and BatchNorm's scales."""
    return jax.tree.map(lambda x: x.ndim > 1, params)
