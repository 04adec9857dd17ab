"""Base class of training methods, and the data that the step passes to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct

from pmm_jax.config import Config
from pmm_jax.config_check import STRIDE, feature_map_size
from pmm_jax.errors import UserError
from pmm_jax.model.pmm import Kind, TrainPass

SaliencyFn = Callable[[jax.Array], jax.Array]
"""Images (N, H, W, 3), normalized, to where they are salient, (N, h, w)."""


@struct.dataclass
class TrainBatch:
    """A batch of N images with a step's random choices made.

    Example:
        >>> from pmm_jax.methods import TrainBatch
        >>> batch = TrainBatch(images=jnp.zeros((4, 384, 128, 3)), labels=jnp.array([0, 0, 1, 1]))
        >>> batch.replace(images=batch.images[..., ::-1]).labels.shape
        (4,)
    """

    images: jax.Array
    """(N, H, W, 3), normalized and augmented."""
    labels: jax.Array
    """(N,) int, 0 to identities - 1."""
    sample: Any = ()
    """Random choices that the method's `sample` returned."""


@dataclass(frozen=True)
class Target:
    """Labels of a batch of N images.

    Example:
        >>> from pmm_jax.methods import Target
        >>> target = Target(jnp.array([0, 1]))
        >>> target.dominant_labels
        Array([0, 1], dtype=int32)
        >>> target.average(lambda labels: labels.astype(jnp.float32)).tolist()
        [0.0, 1.0]
    """

    labels: jax.Array
    """(N,) int: the identities of the images as they were."""

    @property
    def dominant_labels(self) -> jax.Array:
        """(N,) int: the labels that the triplet loss and the accuracy go by."""
        return self.labels

    def average(self, loss: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """A loss of labels (N,), averaged over the identities that the images show."""
        return loss(self.labels)


@dataclass(frozen=True)
class MixedTarget(Target):
    """Labels of images into which other images were pasted (CutMix).

    Example:
        >>> from pmm_jax.methods import MixedTarget
        >>> target = MixedTarget(jnp.array([0, 8]), jnp.array([8, 0]), lam=jnp.float32(0.25))
        >>> target.dominant_labels
        Array([8, 0], dtype=int32)
        >>> target.average(lambda labels: labels.astype(jnp.float32)).tolist()
        [6.0, 2.0]
    """

    mixed_labels: jax.Array
    """(N,) int: the identities pasted into them."""
    lam: jax.Array
    """() float32: the area that is still the image's own, 0 to 1."""

    @property
    def dominant_labels(self) -> jax.Array:
        """(N,) int: the identity of the larger area.

        Batch-hard mining has to call each pair same or different, which has no mixture; called by
        the smaller area, an image that mostly shows B would be pulled to A's images.
        """
        return jnp.where(self.lam >= 0.5, self.labels, self.mixed_labels)

    def average(self, loss: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """A loss of labels (N,), averaged by area."""
        return self.lam * loss(self.labels) + (1 - self.lam) * loss(self.mixed_labels)


@struct.dataclass
class StageOutputs:
    """Outputs of the stages for a batch of N images.

    Tuples have an entry for each stage, or for each stage after the first. BDB's second branch
    counts as a stage.
    """

    embeddings: tuple[jax.Array, ...]
    """(N, embedding_size) each."""
    logits: tuple[jax.Array, ...]
    """(N, identities) each."""
    cams: tuple[jax.Array, ...] = ()
    """(N, h, w): CAM 1 and 2, which pick what stages II and III lose; none of BDB."""
    masks: tuple[jax.Array, ...] = ()
    """(N, h, w) bool: the masks of stages II and III, False where the negative's cells are put."""
    inputs: tuple[jax.Array, ...] = ()
    """(N, h, w, C): the map that each stage saw."""
    part_map: jax.Array | None = None
    """(N, h, w, C): the part block's map, before any mixing; None without a part block."""


class Method:
    """Training method: random choices, mixing of images and feature maps, row of Table 1.

    Constant in a compiled step: whatever changes from step to step is in the batch.

    Args:
        config: of the run, checked.
        num_shards: equal parts of the batch, in order, that sample negatives among themselves.

    Example:
        >>> from pmm_jax.config import Config
        >>> from pmm_jax.methods import Method, StageOutputs, Target, TrainBatch
        >>> class Darker(Method):
        ...     '''Stage I alone, on images of which a random third is half as bright.'''
        ...
        ...     name, title, network, level = "darker", "Darker", "baseline", "image"
        ...
        ...     @classmethod
        ...     def check(cls, config):
        ...         assert config.method.stages >= 1
        ...
        ...     def sample(self, keys, labels):
        ...         return jax.random.bernoulli(keys[0], 1 / 3, labels.shape)
        ...
        ...     def mix_images(self, batch, saliency):
        ...         scale = jnp.where(batch.sample, 0.5, 1.0)[:, None, None, None]
        ...         return batch.replace(images=batch.images * scale), Target(batch.labels)
        ...
        ...     def forward(self, net, batch):
        ...         embedding, logits = net("stage1", net.feature_map(batch.images))
        ...         return StageOutputs((embedding,), (logits,))
        >>> method = Darker(Config())
        >>> labels = jnp.array([0, 0, 1, 1])
        >>> sample = method.sample(jax.random.split(jax.random.key(0)), labels)
        >>> batch = TrainBatch(jnp.ones((4, 64, 32, 3)), labels, sample)
        >>> batch, target = method.mix_images(batch, saliency=None)
        >>> batch.images.mean((1, 2, 3)).tolist()
        [1.0, 0.5, 0.5, 0.5]
    """

    name: ClassVar[str]
    """Name of the method in method.name."""
    title: ClassVar[str]
    """Name of the method in the paper."""
    network: ClassVar[Kind]
    """The network that it trains."""
    level: ClassVar[Literal["feature", "image", "nothing"]] = "nothing"
    """Level at which values are replaced: feature maps or images."""
    attentive: ClassVar[bool] = False
    """Whether a CAM or saliency map decides what is replaced."""
    mixes: ClassVar[bool] = False
    """Whether another image's values come in place of the replaced ones."""
    mixes_label: ClassVar[bool] = False
    """Whether the identity loss uses both identities, weighted by area."""
    uses_saliency: ClassVar[bool] = False
    """Whether `mix_images` calls its `saliency`."""

    def __init__(self, config: Config, num_shards: int = 1) -> None:
        self.config = config
        self.num_shards = num_shards

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse settings that the method can't work with.

        Raises:
            UserError: with the hint that fits.
        """

    def sample(self, keys: jax.Array, labels: jax.Array) -> Any:
        """A step's random choices, a pytree of arrays; nothing by default.

        Args:
            keys: (2,) random keys: of stage II and stage III.
            labels: (N,) int, two identities or more in each shard.
        """
        return ()

    def mix_images(self, batch: TrainBatch, saliency: SaliencyFn) -> tuple[TrainBatch, Target]:
        """The batch with its images mixed, and its labels; as it is by default.

        Args:
            batch: with what `sample` returned.
            saliency: of the trunk that method.saliency_model names.
        """
        return batch, Target(batch.labels)

    def forward(self, net: TrainPass, batch: TrainBatch) -> StageOutputs:
        """All stages in training mode; feature maps are mixed here.

        Args:
            net: applies the network's modules, once each.
            batch: as `mix_images` returned it.
        """
        raise NotImplementedError


def check_blocks(config: Config) -> None:
    """Check that the blocks divide the feature map, and that there are K.

    Args:
        config: of a run.

    Raises:
        UserError: with sizes that would do.

    Example:
        >>> from pmm_jax.config import Config, DataConfig
        >>> from pmm_jax.errors import UserError
        >>> from pmm_jax.methods import check_blocks
        >>> try:
        ...     check_blocks(Config(data=DataConfig(image_size=(256, 128))))
        ... except UserError as error:
        ...     print(error)
        image height 256 is not a multiple of 16 x block height 3; use 240 or 288 (...)
    """
    for axis, size, block in zip(
        ("height", "width"), config.data.image_size, config.method.block, strict=True
    ):
        unit = STRIDE * block
        if size % unit:
            below, above = size // unit * unit, (size // unit + 1) * unit
            use = f"{below} or {above}" if below else f"{above}"
            raise UserError(
                f"image {axis} {size} is not a multiple of {STRIDE} x block {axis} {block}; "
                f"use {use} (data.image_size, method.block)"
            )
    rows, columns = feature_map_size(config.data.image_size)
    blocks = (rows // config.method.block[0]) * (columns // config.method.block[1])
    if config.method.top_k > blocks:
        raise UserError(
            f"method.top_k {config.method.top_k} must lie between 1 and {blocks}, "
            f"the blocks of a {rows}x{columns} map; lower it, or use smaller blocks"
        )
