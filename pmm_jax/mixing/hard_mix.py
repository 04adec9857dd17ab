"""Feature Hard-Mix: an anchor's blocks replaced by a negative's (paper, section 2.2, eq. 2)."""

import jax
import jax.numpy as jnp


def sample_negatives(key: jax.Array, labels: jax.Array, num_shards: int = 1) -> jax.Array:
    """Sample an image of another identity for each, uniformly over the batch or its shard.

    The release counts on batches ordered in groups of four; labels need no order.

    Args:
        key: random key.
        labels: (N,) int, two identities or more in each shard.
        num_shards: equal parts of the batch, in order; negatives come from the same part.

    Returns:
        (N,) int32, positions in the batch.

    Example:
        >>> from pmm_jax.mixing import sample_negatives
        >>> labels = jnp.array([0, 0, 1, 1])
        >>> negatives = sample_negatives(jax.random.key(0), labels)
        >>> labels[negatives].tolist()
        [1, 1, 0, 0]
    """
    count = labels.shape[0]
    ranks = jax.random.uniform(key, (count, count))
    shard = jnp.arange(count) // (count // num_shards)
    negative = labels[:, None] != labels[None, :]
    negative &= shard[:, None] == shard[None, :]
    return jnp.where(negative, ranks, -1.0).argmax(1).astype(jnp.int32)


def nearest_negatives(embeddings: jax.Array, labels: jax.Array, num_shards: int = 1) -> jax.Array:
    """Find the nearest image of another identity for each, in the batch or its shard.

    Args:
        embeddings: (N, D); no gradient goes through the choice.
        labels: (N,) int, two identities or more in each shard.
        num_shards: as of `sample_negatives`.

    Returns:
        (N,) int32, positions in the batch.

    Example:
        >>> from pmm_jax.mixing import nearest_negatives
        >>> embeddings = jnp.array([[0.0], [3.0], [4.0], [9.0]])
        >>> nearest_negatives(embeddings, labels=jnp.array([0, 0, 1, 1])).tolist()
        [2, 2, 1, 1]
    """
    size = labels.shape[0] // num_shards
    x = embeddings.reshape(num_shards, size, -1)
    own = labels.reshape(num_shards, size)
    # |a - b|^2 without |a|^2, which changes no order.
    products = jnp.einsum("snd,smd->snm", x, x, precision="highest")
    distances = jnp.square(x).sum(2)[:, None] - 2 * products
    distances = jnp.where(own[:, :, None] == own[:, None], jnp.inf, distances)
    nearest = distances.argmin(2) + size * jnp.arange(num_shards)[:, None]
    return nearest.reshape(-1).astype(jnp.int32)


def hard_mix(
    feature_map: jax.Array, negatives: jax.Array, mask: jax.Array, num_shards: int = 1
) -> jax.Array:
    """M * anchor + (1 - M) * negative, at the same place; the label stays the anchor's.

    Args:
        feature_map: (N, H, W, C).
        negatives: (N,) int, positions in the batch.
        mask: (N, H, W) bool, the mask M.
        num_shards: shards that the negatives were sampled in. A shard's maps are looked up in the
            shard, so where each lies on a device of its own none crosses to another.

    Returns:
        (N, H, W, C).

    Example:
        >>> from pmm_jax.mixing import hard_mix
        >>> maps = jnp.array([[[[1.0], [2.0]]], [[[10.0], [20.0]]]])  # (2, 1, 2, 1)
        >>> mask = jnp.array([[[True, False]], [[False, True]]])
        >>> hard_mix(maps, negatives=jnp.array([1, 0]), mask=mask).tolist()
        [[[[1.0], [20.0]]], [[[1.0], [20.0]]]]
    """
    mixed_in = rows_of(feature_map, negatives, num_shards)
    return jnp.where(mask[..., None], feature_map, mixed_in)


def rows_of(feature_map: jax.Array, selection: jax.Array, num_shards: int = 1) -> jax.Array:
    """feature_map[selection], where each shard of the batch chose among its own.

    Args:
        feature_map: (N, ...).
        selection: (N,) int, positions in the batch.
        num_shards: equal parts of the batch, in order.

    Returns:
        (N, ...).

    Example:
        >>> from pmm_jax.mixing import rows_of
        >>> maps = jnp.array([[1.0], [2.0], [3.0], [4.0]])
        >>> rows_of(maps, jnp.array([1, 0, 3, 3]), num_shards=2).tolist()
        [[2.0], [1.0], [4.0], [4.0]]
    """
    size = feature_map.shape[0] // num_shards
    maps = feature_map.reshape(num_shards, size, *feature_map.shape[1:])
    return _rows(maps, (selection % size).reshape(num_shards, size)).reshape(feature_map.shape)


@jax.custom_vjp
def _rows(maps: jax.Array, selection: jax.Array) -> jax.Array:
    """(S, N, ...): rows `selection` (S, N) of each shard's maps (S, N, ...)."""
    return jax.vmap(lambda maps, selection: maps[selection])(maps, selection)


def _rows_forward(maps: jax.Array, selection: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _rows(maps, selection), selection


def _rows_backward(selection: jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    # A lookup's stock gradient is a scatter, which a GPU sums in any order where a map was chosen
    # twice, and a CPU sums slowly. As a product with zeros and ones the order is fixed.
    wide = jnp.promote_types(gradient.dtype, jnp.float32)
    taken = jax.nn.one_hot(selection, selection.shape[1], dtype=gradient.dtype)
    summed = jnp.einsum(
        "snm,sn...->sm...", taken, gradient, precision="highest", preferred_element_type=wide
    )
    return summed.astype(gradient.dtype), None


_rows.defvjp(_rows_forward, _rows_backward)
