"""The stage heads: pooling, reduction to an embedding, classifier (paper, section 2.1)."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from pmm_jax.model.layers import BatchNorm, Linear


class StageHead(nn.Module):
    """A feature map to its embedding and identity logits.

    Stage I pools by the average and stages II and III by the maximum, "to strengthen the relative
    weak features". The release writes stage I's reduction as a 1x1 convolution on the pooled map,
    which is the same as a linear layer.
    """

    num_ids: int
    pooling: Literal["average", "max"]
    embedding_size: int = 512
    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, feature_map: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """feature_map (N, H, W, C) to embedding (N, embedding_size) and logits (N, num_ids).

        Both come in float32 (or wider) whatever the compute dtype.
        """
        wide = jnp.promote_types(feature_map.dtype, jnp.float32)
        average = self.pooling == "average"
        pooled = feature_map.astype(wide).mean((1, 2)) if average else feature_map.max((1, 2))
        reduction = Linear(self.embedding_size, self.param_dtype, name="reduction")
        norm = BatchNorm(param_dtype=self.param_dtype, name="bn")
        reduced = reduction(pooled.astype(wide))
        embedding = nn.relu(norm(reduced, train))
        logits = Linear(self.num_ids, self.param_dtype, name="classifier")(embedding)
        return embedding, logits
