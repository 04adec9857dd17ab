"""Labels and (possibly mixed) images of a training batch."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pmm_jax.config import MethodConfig
from pmm_jax.methods import METHODS
from pmm_jax.mixing import TrainBatch
from pmm_jax.mixing.image_mix import attentive_cutmix, cutmix, saliency
from pmm_jax.model.guide import SaliencyTrunk
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.training.losses import smoothed_cross_entropy


class Target(NamedTuple):
    """Labels of a batch of N images, mixed or not."""

    labels: jax.Array
    """(N,) int: the identities of the images as they were."""
    mixed_labels: jax.Array | None = None
    """(N,) int: the identities pasted into them; None where labels aren't mixed."""
    lam: jax.Array | None = None
    """() float32: the area that is still the image's own, 0 to 1."""

    def cross_entropy(self, logits: jax.Array, smoothing: float) -> jax.Array:
        """Of both identities, by area (CutMix)."""
        own = smoothed_cross_entropy(logits, self.labels, smoothing)
        if self.mixed_labels is None or self.lam is None:
            return own
        other = smoothed_cross_entropy(logits, self.mixed_labels, smoothing)
        return self.lam * own + (1 - self.lam) * other

    @property
    def dominant_labels(self) -> jax.Array:
        """(N,) int: the identity of the larger area, the one that the triplet goes by.

        Batch-hard mining has to call each pair same or different, which has no mixture; called by
        the smaller area, an image that mostly shows B would be pulled to A's images.
        """
        if self.mixed_labels is None or self.lam is None:
            return self.labels
        return jnp.where(self.lam >= 0.5, self.labels, self.mixed_labels)


def mix_images(
    network: Network,
    method: MethodConfig,
    variables: dict[str, Tree],
    batch: TrainBatch,
    saliency_trunk: SaliencyTrunk | None = None,
) -> tuple[TrainBatch, Target]:
    """The batch as a method on images mixes it; as it is for all others.

    Args:
        network: in training.
        method: names it.
        variables: of the network.
        batch: as sampled.
        saliency_trunk: of `a_cutmix`; None for the trunk in training.
    """
    labels, sample = batch.labels, batch.mixing
    if not METHODS[method.name].mixes_label:
        return batch, Target(labels)
    assert sample.partners is not None
    if method.name == "cutmix":
        assert sample.box is not None
        mixed, lam = cutmix(batch.images, sample.box, sample.partners)
    else:
        trunk = saliency_trunk or SaliencyTrunk.of(network, **variables)
        cam = saliency(trunk.feature_map(batch.images.astype(network.compute_dtype)))
        mixed, lam = attentive_cutmix(
            batch.images, cam, sample.partners, method.block, method.top_k
        )
    return replace(batch, images=mixed), Target(labels, labels[sample.partners], lam)
