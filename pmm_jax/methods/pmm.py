"""PMM and the methods that change feature maps as it does (paper, sections 2 and 3.2.2).

Stages II and III are fed the part block's map with the K blocks replaced that the stage before
looked at. The methods differ in which blocks are replaced, and by what.
"""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from pmm_jax.config import Config
from pmm_jax.config_check import feature_map_size
from pmm_jax.errors import UserError
from pmm_jax.methods.baseline import Baseline
from pmm_jax.methods.method import StageOutputs, TrainBatch, check_blocks
from pmm_jax.mixing import (
    block_mask,
    block_scores,
    hard_mix,
    nearest_negatives,
    rows_of,
    sample_negatives,
    top_block_mask,
    top_blocks,
)
from pmm_jax.model.pmm import Kind, TrainPass


class StageInput(NamedTuple):
    """Input of stage II or III before mixing, and what the mixing uses."""

    number: int
    """Number of the stage, 2 or 3."""
    base: jax.Array
    """(N, h, w, C), the map whose blocks are replaced."""
    cam: jax.Array
    """(N, h, w), where the stage before looked."""
    embeddings: jax.Array
    """(N, D), of the stage before."""
    batch: TrainBatch
    """Batch with its labels and random choices."""


class NoMixing(Baseline):
    """The three stages with nothing mixed; what mixes overrides `mix_features`."""

    name = "none"
    title = "No mixing"
    network: ClassVar[Kind] = "pmm"

    def forward(self, net: TrainPass, batch: TrainBatch) -> StageOutputs:
        """Each stage is fed what its predecessor's CAM leaves (paper, Figure 2)."""
        if self.config.method.stages == 1:
            return super().forward(net, batch)
        feature_map = net.feature_map(batch.images)
        stages, inputs = [net("stage1", feature_map)], [feature_map]
        part_map = net("part_block", feature_map)
        cams: list[jax.Array] = []
        masks: list[jax.Array] = []
        for number in range(2, self.config.method.stages + 1):
            cam = net.cam(f"stage{number - 1}", inputs[-1], batch.labels)
            # The release mixes into the clean map, so stage I's blocks come back; the paper's words
            # suppress cumulatively.
            base = inputs[-1] if self.config.method.cumulative and number > 2 else part_map
            stage = StageInput(number, base, cam, stages[-1][0], batch)
            mixed, mask = self.mix_features(stage)
            cams.append(cam)
            masks.append(mask)
            inputs.append(mixed)
            stages.append(net(f"stage{number}", mixed))
        return StageOutputs(
            embeddings=tuple(embedding for embedding, _ in stages),
            logits=tuple(logits for _, logits in stages),
            cams=tuple(cams),
            masks=tuple(masks),
            inputs=tuple(inputs),
            part_map=part_map,
        )

    def mix_features(self, stage: StageInput) -> tuple[jax.Array, jax.Array]:
        """Return the mixed feature map that the stage is fed.

        Returns:
            (N, h, w, C); and (N, h, w) bool, the mask: False where it isn't the base's own.
        """
        return stage.base, jnp.ones(stage.cam.shape, bool)


class _BlockMethod(NoMixing):
    """A method that replaces blocks of feature maps."""

    level = "feature"

    @classmethod
    def check(cls, config: Config) -> None:
        """Blocks must divide the map, and there must be a stage after the first."""
        check_blocks(config)
        if config.method.stages == 1:
            raise UserError(
                f"method.stages 1 leaves {config.method.name} no stage whose input it could "
                "change; use 2 or 3, or method.name none"
            )


@struct.dataclass
class MixingSample:
    """Random choices of stages II and III, an entry for each."""

    negatives: tuple[jax.Array, jax.Array]
    """(N,) int each: the image mixed into each anchor."""


class PMM(_BlockMethod):
    """A-Hard-Mix: the negative's values in the K blocks with the highest CAM (section 2.2).

    Example:
        >>> from pmm_jax.config import Config
        >>> from pmm_jax.methods import TrainBatch
        >>> from pmm_jax.methods.pmm import PMM, StageInput
        >>> from pmm_jax.mixing import hard_mix
        >>> class HalfMix(PMM):
        ...     '''The negative's lower half of the map, in both stages.'''
        ...
        ...     name, title, attentive = "half_mix", "Half mix", False
        ...
        ...     def mix_features(self, stage):
        ...         n, h, w = stage.cam.shape
        ...         mask = jnp.broadcast_to((jnp.arange(h) < h // 2)[None, :, None], (n, h, w))
        ...         return hard_mix(stage.base, self.negatives(stage), mask, self.num_shards), mask
        >>> method, labels = HalfMix(Config()), jnp.array([0, 0, 1, 1])
        >>> sample = method.sample(jax.random.split(jax.random.key(0)), labels)
        >>> batch = TrainBatch(jnp.zeros((4, 96, 32, 3)), labels, sample)
        >>> maps = jnp.broadcast_to(labels[:, None, None, None], (4, 6, 2, 1))
        >>> stage = StageInput(2, maps, jnp.ones((4, 6, 2)), jnp.zeros((4, 8)), batch)
        >>> mixed, mask = method.mix_features(stage)
        >>> mixed[0].ravel().tolist()  # of an image of identity 0, row by row
        [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    """

    name = "pmm"
    title = "A-Hard-Mix (PMM)"
    attentive = True
    mixes = True

    def sample(self, keys: jax.Array, labels: jax.Array) -> MixingSample:
        """A negative of each anchor for stage II, and another one for stage III."""
        stage2, stage3 = (sample_negatives(key, labels, self.num_shards) for key in keys)
        return MixingSample((stage2, stage3))

    def mix_features(self, stage: StageInput) -> tuple[jax.Array, jax.Array]:
        """Rank blocks by the CAM, mix the highest (eq. 1 and 2)."""
        mask = block_mask(stage.cam, self.config.method.block, self.config.method.top_k)
        negatives = self.negatives(stage)
        return hard_mix(stage.base, negatives, mask, self.num_shards), mask

    def negatives(self, stage: StageInput) -> jax.Array:
        """(N,) int: the image that is mixed into each anchor, by method.mining."""
        if self.config.method.mining == "hardest":
            return nearest_negatives(stage.embeddings, stage.batch.labels, self.num_shards)
        sample: MixingSample = stage.batch.sample
        return sample.negatives[stage.number - 2]


class CutOut(_BlockMethod):
    """Zeros in the K blocks with the highest CAM."""

    name = "cutout"
    title = "CutOut"
    attentive = True

    def mix_features(self, stage: StageInput) -> tuple[jax.Array, jax.Array]:
        """Rank blocks by the CAM, clear the highest."""
        mask = block_mask(stage.cam, self.config.method.block, self.config.method.top_k)
        return jnp.where(mask[..., None], stage.base, 0), mask


@struct.dataclass
class RandomBlocksSample(MixingSample):
    """Random choices of stages II and III where the blocks are random, too."""

    scores: tuple[jax.Array, jax.Array]
    """(N, blocks) each: the blocks that are replaced are the highest of these."""


class RandomMix(PMM):
    """The negative's values in K random blocks."""

    name = "random_mix"
    title = "Random blocks"
    attentive = False

    def sample(self, keys: jax.Array, labels: jax.Array) -> RandomBlocksSample:
        """Negatives as PMM's for the same keys; and scores of all blocks."""
        (h, w), block = feature_map_size(self.config.data.image_size), self.config.method.block
        shape = labels.shape[0], (h // block[0]) * (w // block[1])
        stage2, stage3 = (jax.random.uniform(jax.random.fold_in(key, 1), shape) for key in keys)
        return RandomBlocksSample(super().sample(keys, labels).negatives, (stage2, stage3))

    def mix_features(self, stage: StageInput) -> tuple[jax.Array, jax.Array]:
        """Mix the blocks that were sampled, whatever the CAM."""
        sample: RandomBlocksSample = stage.batch.sample
        block, top_k = self.config.method.block, self.config.method.top_k
        mask = top_block_mask(sample.scores[stage.number - 2], stage.cam.shape, block, top_k)
        negatives = self.negatives(stage)
        return hard_mix(stage.base, negatives, mask, self.num_shards), mask


class EasyMix(PMM):
    """The negative's least salient blocks in the K blocks with the highest CAM."""

    name = "easy_mix"
    title = "Easy mix"

    def mix_features(self, stage: StageInput) -> tuple[jax.Array, jax.Array]:
        """Rank blocks by the CAM, mix the negative's lowest into the highest."""
        block, top_k = self.config.method.block, self.config.method.top_k
        scores = block_scores(stage.cam, block)
        mask = top_block_mask(scores, stage.cam.shape, block, top_k)
        negatives = self.negatives(stage)
        source = weakest_blocks(stage.base, negatives, scores, block, top_k, self.num_shards)
        return jnp.where(mask[..., None], stage.base, source), mask


def weakest_blocks(
    feature_map: jax.Array,
    negatives: jax.Array,
    scores: jax.Array,
    block: tuple[int, int],
    top_k: int,
    num_shards: int = 1,
) -> jax.Array:
    """Easy mix: at each of an image's K best blocks the negative's of the same rank from below.

    What is put in says least about the negative, so the mixture is easier than Hard-Mix's.

    Args:
        feature_map: (N, H, W, C).
        negatives: (N,) int, positions in the batch.
        scores: (N, blocks) of the images' blocks.
        block: height and width in cells.
        top_k: K.
        num_shards: parts of the batch that the negatives were sampled in.

    Returns:
        (N, H, W, C), which is of use in those blocks alone.
    """
    n, h, w, c = feature_map.shape
    rows, columns = h // block[0], w // block[1]
    best, weakest = top_blocks(scores, top_k), top_blocks(-scores, top_k)[negatives]
    # (N, blocks, blocks): which of the negative's blocks comes where. Products with zeros and ones
    # change no value, and their gradient needs no scatter.
    place = jax.nn.one_hot(best, rows * columns, dtype=feature_map.dtype)
    source = jax.nn.one_hot(weakest, rows * columns, dtype=feature_map.dtype)
    move = jnp.einsum("nkp,nks->nps", place, source, precision="highest")
    theirs = rows_of(feature_map, negatives, num_shards)
    blocks = theirs.reshape(n, rows, block[0], columns, block[1], c).swapaxes(2, 3)
    moved = jnp.einsum(
        "nps,nsx->npx", move, blocks.reshape(n, rows * columns, -1), precision="highest"
    )
    return moved.reshape(n, rows, columns, *block, c).swapaxes(2, 3).reshape(n, h, w, c)
