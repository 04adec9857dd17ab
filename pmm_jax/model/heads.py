"""The stage heads: pooling, reduction to an embedding, classifier (paper, section 2.1)."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from pmm_jax.model.initializers import Initializer, constant, kaiming_normal, normal
from pmm_jax.model.layers import BatchNorm, Linear

Pooling = Literal["average", "max", "gem"]
Neck = Literal["bn_relu", "bnneck"]

SMALLEST = 1e-6
"""Activations below it count as this, whose power has a gradient."""


class GeneralizedMean(nn.Module):
    """(mean of x^p)^(1/p) over the cells, p learned: 1 is the average, infinity the maximum.

    It starts at 3 (Radenović et al., 2019).
    """

    param_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, feature_map: jax.Array) -> jax.Array:
        """feature_map (N, H, W, C), not negative, to (N, C)."""
        power = self.param("power", constant(3.0), (1,), self.param_dtype)
        p = power.astype(feature_map.dtype)[0]
        return (jnp.maximum(feature_map, SMALLEST) ** p).mean((1, 2)) ** (1 / p)


class StageHead(nn.Module):
    """A feature map to its embedding and identity logits.

    Stage I pools by the average and stages II and III by the maximum, "to strengthen the relative
    weak features". The release writes stage I's reduction as a 1x1 convolution on the pooled map,
    which is the same as a linear layer. `gem` and `bnneck` are not the paper's (ModelConfig).
    """

    num_ids: int
    pooling: Pooling
    embedding_size: int = 512
    param_dtype: jnp.dtype = jnp.float32
    neck: Neck = "bn_relu"
    reduction_init: Initializer = kaiming_normal("fan_out")

    @nn.compact
    def __call__(self, feature_map: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """feature_map (N, H, W, C) to embedding (N, embedding_size) and logits (N, num_ids).

        Both come in float32 (or wider) whatever the compute dtype. With `bnneck` the embedding is
        the triplet's in training, the test's otherwise.
        """
        scale_init = normal(1.0, 0.02)
        reduction = Linear(
            self.embedding_size, self.param_dtype, self.reduction_init, name="reduction"
        )
        classifier = Linear(self.num_ids, self.param_dtype, name="classifier")
        reduced = reduction(self._pooled(feature_map))
        if self.neck == "bnneck":
            # A name of its own: these weights mean something else in a head of the paper's.
            normed = BatchNorm(param_dtype=self.param_dtype, scale_init=scale_init, name="neck")(
                reduced, train
            )
            return reduced if train else normed, classifier(normed)
        norm = BatchNorm(param_dtype=self.param_dtype, scale_init=scale_init, name="bn")
        embedding = nn.relu(norm(reduced, train))
        return embedding, classifier(embedding)

    def _pooled(self, feature_map: jax.Array) -> jax.Array:
        """(N, C), float32 or wider."""
        wide = jnp.promote_types(feature_map.dtype, jnp.float32)
        if self.pooling == "max":
            return feature_map.max((1, 2)).astype(wide)
        if self.pooling == "average":
            return feature_map.astype(wide).mean((1, 2))
        return GeneralizedMean(self.param_dtype, name="pooling")(feature_map.astype(wide))
