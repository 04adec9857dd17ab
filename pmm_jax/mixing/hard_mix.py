"""Feature Hard-Mix: an anchor's blocks replaced by a negative's (paper, section 2.2, eq. 2)."""

import jax
import jax.numpy as jnp


def draw_negatives(key: jax.Array, labels: jax.Array) -> jax.Array:
    """For each image, one image of another identity, uniformly over the batch.

    The release counts on batches ordered in groups of four; labels need no order.

    Args:
        key: random key.
        labels: (N,) int, two identities or more.

    Returns:
        (N,) int32, positions in the batch.
    """
    ranks = jax.random.uniform(key, (labels.shape[0], labels.shape[0]))
    negative = labels[:, None] != labels[None, :]
    return jnp.where(negative, ranks, -1.0).argmax(1).astype(jnp.int32)


def hard_mix(feature_map: jax.Array, negatives: jax.Array, keep: jax.Array) -> jax.Array:
    """M * anchor + (1 - M) * negative, at the same place; the label stays the anchor's.

    Args:
        feature_map: (N, H, W, C).
        negatives: (N,) int, positions in the batch.
        keep: (N, H, W) bool, the mask M.

    Returns:
        (N, H, W, C).
    """
    return jnp.where(keep[..., None], feature_map, feature_map[negatives])
