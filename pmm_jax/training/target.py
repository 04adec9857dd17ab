"""What the losses of a batch go by, and the images that methods of images make of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pmm_jax.config import Config
from pmm_jax.methods import METHODS
from pmm_jax.mixing import Draws
from pmm_jax.mixing.image_mix import attentive_cutmix, cutmix, saliency
from pmm_jax.model.guide import Guide
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.training.losses import smoothed_cross_entropy


class Target(NamedTuple):
    """What a batch of N images shows."""

    labels: jax.Array
    """(N,) int: the identities of the images as they were."""
    others: jax.Array | None = None
    """(N,) int: the identities pasted into them; None where labels aren't mixed."""
    share: jax.Array | None = None
    """() float32: the area that is still the image's own, 0 to 1."""

    def cross_entropy(self, logits: jax.Array, smoothing: float) -> jax.Array:
        """Of both identities, by area (CutMix)."""
        own = smoothed_cross_entropy(logits, self.labels, smoothing)
        if self.others is None or self.share is None:
            return own
        other = smoothed_cross_entropy(logits, self.others, smoothing)
        return self.share * own + (1 - self.share) * other

    @property
    def main(self) -> jax.Array:
        """(N,) int: the identity of the larger area, the one that the triplet goes by.

        Batch-hard mining has to call each pair same or different, which has no mixture; called by
        the smaller area, an image that mostly shows B would be pulled to A's images.
        """
        if self.others is None or self.share is None:
            return self.labels
        return jnp.where(self.share >= 0.5, self.labels, self.others)


def mix_images(
    network: Network,
    config: Config,
    params: Tree,
    stats: Tree,
    images: jax.Array,
    labels: jax.Array,
    draws: Draws,
    guide: Guide | None = None,
) -> tuple[jax.Array, Target]:
    """The batch as a method of images mixes it; as it is for all others.

    Arguments are those of `step.loss_and_gradient`.
    """
    if not METHODS[config.method.name].mixes_label:
        return images, Target(labels)
    assert draws.partners is not None
    if config.method.name == "cutmix":
        assert draws.box is not None
        mixed, share = cutmix(images, draws.box, draws.partners)
    else:
        if guide is None:
            guide = Guide.of(network, params, stats)
        heat = saliency(guide.feature_map(images.astype(network.compute_dtype)))
        method = config.method
        mixed, share = attentive_cutmix(images, heat, draws.partners, method.block, method.top_k)
    return mixed, Target(labels, labels[draws.partners], share)
