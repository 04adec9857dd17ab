"""Batch DropBlock: one rectangle of the whole batch set to zero (BDB; Dai et al., ICCV 2019).

The rectangle is as wide as the map, as in the published configuration.
"""

import jax
import jax.numpy as jnp

from pmm_jax.config import Config
from pmm_jax.config_check import feature_map_size
from pmm_jax.errors import UserError
from pmm_jax.methods.method import Method, StageOutputs, TrainBatch
from pmm_jax.model.pmm import TrainPass


class BDB(Method):
    """Stage I, and a second branch that sees the part block's map without some rows."""

    name = "bdb"
    title = "BDB"
    network = "bdb"
    level = "feature"

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse to drop the whole map."""
        rows, _ = feature_map_size(config.data.image_size)
        if dropped_rows(rows, config.method.drop_ratio) >= rows:
            raise UserError(
                f"method.drop_ratio {config.method.drop_ratio} drops all {rows} rows of the map; "
                "lower it, or use higher images (data.image_size)"
            )

    def sample(self, keys: jax.Array, labels: jax.Array) -> jax.Array:
        """() int32: the first row that is dropped, uniformly over all that leave it inside."""
        height, _ = feature_map_size(self.config.data.image_size)
        most = height - dropped_rows(height, self.config.method.drop_ratio)
        return jax.random.randint(jax.random.fold_in(keys[0], 1), (), 0, most + 1)

    def forward(self, net: TrainPass, batch: TrainBatch) -> StageOutputs:
        """Forward pass of both branches."""
        feature_map = net.feature_map(batch.images)
        first = net("stage1", feature_map)
        part_map = net("part_block", feature_map)
        dropped, mask = batch_drop(part_map, batch.sample, self.config.method.drop_ratio)
        second = net("drop", dropped)
        return StageOutputs(
            embeddings=(first[0], second[0]),
            logits=(first[1], second[1]),
            masks=(mask,),
            inputs=(feature_map, dropped),
            part_map=part_map,
        )


def dropped_rows(height: int, ratio: float) -> int:
    """Rows of a map of `height` cells that are dropped, at least one."""
    return max(1, round(ratio * height))


def batch_drop(
    feature_map: jax.Array, first_row: jax.Array, ratio: float
) -> tuple[jax.Array, jax.Array]:
    """The map without the rows from `first_row` on, and what was kept.

    Args:
        feature_map: (N, H, W, C).
        first_row: () int.
        ratio: of the rows that are dropped, 0 to 1.

    Returns:
        (N, H, W, C) with zeros in the rectangle, and (N, H, W) bool, False there.
    """
    n, h, w, _ = feature_map.shape
    row = jnp.arange(h)
    mask = (row < first_row) | (row >= first_row + dropped_rows(h, ratio))
    mask = jnp.broadcast_to(mask[None, :, None], (n, h, w))
    return jnp.where(mask[..., None], feature_map, 0), mask
