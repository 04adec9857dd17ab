"""What a step samples at random."""

import jax
from flax import struct

from pmm_jax.config import Config
from pmm_jax.config_check import feature_map_size
from pmm_jax.mixing.batch_drop import sample_drop_row
from pmm_jax.mixing.hard_mix import sample_negatives
from pmm_jax.mixing.image_mix import sample_box


@struct.dataclass
class MixingSample:
    """A step's random choices; None where the method makes no such choice."""

    negatives: tuple[jax.Array, jax.Array] | None = None
    """For stage II and stage III, (N,) int: the image mixed into each anchor."""
    scores: tuple[jax.Array, jax.Array] | None = None
    """For stage II and stage III, (N, blocks): random blocks are the highest of these."""
    corner: jax.Array | None = None
    """() int: the first row of BDB's rectangle."""
    box: jax.Array | None = None
    """(4,) int: CutMix's top, bottom, left and right in pixels."""
    partners: jax.Array | None = None
    """(N,) int, a permutation: the image pasted into each image."""


@struct.dataclass
class TrainBatch:
    """A batch of N images with a step's random choices made."""

    images: jax.Array
    """(N, H, W, 3), normalized and augmented."""
    labels: jax.Array
    """(N,) int, 0 to identities - 1."""
    mixing: MixingSample = MixingSample()
    """What the method's mixing sampled."""


def sample_mixing(
    config: Config, keys: jax.Array, labels: jax.Array, num_shards: int = 1
) -> MixingSample:
    """What the config's method needs.

    Args:
        config: names the method, and the sizes.
        keys: (2,) random keys: of stage II and stage III.
        labels: (N,) int, two identities or more in each shard.
        num_shards: parts of the batch that draw negatives among themselves.
    """
    name, count = config.method.name, labels.shape[0]
    # Keys of their own, so that methods that share a choice share its draw.
    spare = jax.random.fold_in(keys[0], 1)
    if name == "bdb":
        return MixingSample(
            corner=sample_drop_row(spare, config.data.image_size, config.method.drop_height)
        )
    if name in ("cutmix", "a_cutmix"):
        partners = jax.random.permutation(jax.random.fold_in(spare, 0), count)
        box = sample_box(spare, config.data.image_size) if name == "cutmix" else None
        return MixingSample(box=box, partners=partners)
    stage2, stage3 = (sample_negatives(key, labels, num_shards) for key in keys)
    if name != "random_mix":
        return MixingSample((stage2, stage3))
    (h, w), block = feature_map_size(config.data.image_size), config.method.block
    shape = count, (h // block[0]) * (w // block[1])
    drawn = (jax.random.uniform(jax.random.fold_in(key, 1), shape) for key in keys)
    return MixingSample((stage2, stage3), scores=(next(drawn), next(drawn)))
