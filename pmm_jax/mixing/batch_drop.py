"""BDB's batch drop: one rectangle of the whole batch set to zero (Dai et al., ICCV 2019).

The rectangle is as wide as the map, as in the published configuration.
"""

import jax
import jax.numpy as jnp

from pmm_jax.config_check import dropped_rows, feature_map_size


def sample_drop_row(key: jax.Array, image_size: tuple[int, int], share: float) -> jax.Array:
    """() int32: the first row that is dropped, uniformly over all that leave it inside."""
    height, _ = feature_map_size(image_size)
    return jax.random.randint(key, (), 0, height - dropped_rows(height, share) + 1)


def batch_drop(
    feature_map: jax.Array, corner: jax.Array, share: float
) -> tuple[jax.Array, jax.Array]:
    """The map without the rows from `corner` on, and what was kept.

    Args:
        feature_map: (N, H, W, C).
        corner: () int, the first row.
        share: of the rows, 0 to 1.

    Returns:
        (N, H, W, C) with zeros in the rectangle, and (N, H, W) bool, False there.
    """
    n, h, w, _ = feature_map.shape
    row = jnp.arange(h)
    mask = (row < corner) | (row >= corner + dropped_rows(h, share))
    mask = jnp.broadcast_to(mask[None, :, None], (n, h, w))
    return jnp.where(mask[..., None], feature_map, 0), mask
