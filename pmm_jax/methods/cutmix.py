"""CutMix and Attentive CutMix: part of another image pasted into an image, labels by area.

Both train PMM's three heads, without any mixing of feature maps.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from pmm_jax.config import Config
from pmm_jax.methods.method import MixedTarget, SaliencyFn, Target, TrainBatch, check_blocks
from pmm_jax.methods.pmm import NoMixing
from pmm_jax.mixing import block_mask


@struct.dataclass
class PasteSample:
    """Random choices of CutMix."""

    box: jax.Array
    """(4,) int: top, bottom, left and right in pixels."""
    partners: jax.Array
    """(N,) int, a permutation: the image pasted into each image."""


class CutMix(NoMixing):
    """A random box of another image (Yun et al., ICCV 2019)."""

    name = "cutmix"
    title = "CutMix"
    level = "image"
    mixes = True
    mixes_label = True

    def sample(self, keys: jax.Array, labels: jax.Array) -> PasteSample:
        """One box for the batch, and who is pasted into whom."""
        key = jax.random.fold_in(keys[0], 1)
        return PasteSample(sample_box(key, self.config.data.image_size), _partners(keys, labels))

    def mix_images(self, batch: TrainBatch, saliency: SaliencyFn) -> tuple[TrainBatch, Target]:
        """The partner's pixels inside the box."""
        sample: PasteSample = batch.sample
        images, lam = cutmix(batch.images, sample.box, sample.partners)
        target = MixedTarget(batch.labels, batch.labels[sample.partners], lam)
        return replace(batch, images=images), target


class AttentiveCutMix(NoMixing):
    """The most salient patches of another image (Walawalkar et al., ICASSP 2020)."""

    name = "a_cutmix"
    title = "A-CutMix"
    level = "image"
    attentive = True
    mixes = True
    mixes_label = True
    uses_saliency = True

    @classmethod
    def check(cls, config: Config) -> None:
        """A patch is what a block covers."""
        check_blocks(config)

    def sample(self, keys: jax.Array, labels: jax.Array) -> jax.Array:
        """(N,) int, a permutation: the image pasted into each image."""
        return _partners(keys, labels)

    def mix_images(self, batch: TrainBatch, saliency: SaliencyFn) -> tuple[TrainBatch, Target]:
        """The partner's patches, at their own place."""
        partners, method = batch.sample, self.config.method
        cam = saliency(batch.images)
        images, lam = attentive_cutmix(batch.images, cam, partners, method.block, method.top_k)
        target = MixedTarget(batch.labels, batch.labels[partners], lam)
        return replace(batch, images=images), target


def _partners(keys: jax.Array, labels: jax.Array) -> jax.Array:
    """Random partners, the same for both methods with one seed."""
    key = jax.random.fold_in(jax.random.fold_in(keys[0], 1), 0)
    return jax.random.permutation(key, labels.shape[0])


def sample_box(key: jax.Array, image_size: tuple[int, int]) -> jax.Array:
    """A batch's box: its area uniform over 0 to the image's, its center uniform; cut at the edges.

    Yun et al., ICCV 2019, with their alpha of 1, as their code samples it.

    Returns:
        (4,) int32: top, bottom, left, right in pixels; bottom and right lie outside the box.
    """
    lam_key, row_key, column_key = jax.random.split(key, 3)
    size = jnp.asarray(image_size)
    half = (size * jnp.sqrt(1 - jax.random.uniform(lam_key))).astype(jnp.int32) // 2
    center = jnp.stack(
        [
            jax.random.randint(key, (), 0, length)
            for key, length in zip((row_key, column_key), image_size, strict=True)
        ]
    )
    low, high = jnp.clip(center - half, 0, size), jnp.clip(center + half, 0, size)
    return jnp.stack([low[0], high[0], low[1], high[1]])


def cutmix(images: jax.Array, box: jax.Array, partners: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The partner's pixels inside the box.

    Args:
        images: (N, H, W, 3).
        box: (4,) int: top, bottom, left, right.
        partners: (N,) int, positions in the batch.

    Returns:
        (N, H, W, 3); and () float32, the fraction of the area that is still the image's own.
    """
    h, w = images.shape[1:3]
    top, bottom, left, right = box
    row, column = jnp.arange(h)[:, None], jnp.arange(w)[None, :]
    inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
    mixed = jnp.where(inside[None, :, :, None], images[partners], images)
    return mixed, 1 - inside.mean(dtype=jnp.float32)


def attentive_cutmix(
    images: jax.Array, cam: jax.Array, partners: jax.Array, block: tuple[int, int], top_k: int
) -> tuple[jax.Array, jax.Array]:
    """The partner's most salient patches, at their own place (Walawalkar et al., ICASSP 2020).

    Patches are what the blocks of A-Hard-Mix cover of the image.

    Args:
        images: (N, H, W, 3).
        cam: (N, h, w), where the images are salient; h and w divide H and W.
        partners: (N,) int, positions in the batch.
        block: height and width of a patch in cells of the CAM.
        top_k: patches pasted.

    Returns:
        As `cutmix`.
    """
    cells = ~block_mask(cam, block, top_k)[partners]
    inside = cells
    for axis in (1, 2):
        inside = jnp.repeat(inside, images.shape[axis] // cam.shape[axis], axis)
    mixed = jnp.where(inside[..., None], images[partners], images)
    # Every image has as many patches.
    return mixed, 1 - cells[0].mean(dtype=jnp.float32)
