"""What stages II and III are fed: the part block's map with some blocks replaced, by method."""

import jax
import jax.numpy as jnp

from pmm_jax.config import MethodConfig
from pmm_jax.methods import METHODS
from pmm_jax.mixing.block_ranking import block_scores, top_block_mask, top_blocks
from pmm_jax.mixing.hard_mix import hard_mix, rows_of
from pmm_jax.mixing.sample import MixingSample


def mix_features(
    config: MethodConfig,
    base: jax.Array,
    cam: jax.Array,
    sample: MixingSample,
    stage: int,
    num_shards: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """The input of a stage.

    Args:
        config: names the method.
        base: (N, H, W, C), the map whose blocks are replaced.
        cam: (N, H, W), where the stage before looked.
        sample: the step's random choices.
        stage: 2 or 3.
        num_shards: parts of the batch that the negatives were drawn in.

    Returns:
        (N, H, W, C); and (N, H, W) bool, False where it isn't the base's own.
    """
    method, block, top_k = METHODS[config.name], config.block, config.top_k
    if method.augments != "feature":
        return base, jnp.ones(cam.shape, bool)
    scores = block_scores(cam, block)
    ranked = scores if sample.scores is None else sample.scores[stage - 2]
    mask = top_block_mask(ranked, cam.shape, block, top_k)
    if method.filling == "zeros":
        return jnp.where(mask[..., None], base, 0), mask
    assert sample.negatives is not None
    negatives = sample.negatives[stage - 2]
    if method.filling == "negative":
        return hard_mix(base, negatives, mask, num_shards), mask
    source = weakest_blocks(base, negatives, scores, block, top_k, num_shards)
    return jnp.where(mask[..., None], base, source), mask


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
