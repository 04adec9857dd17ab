"""A method from outside the package: the negative's lower half of the map, in both stages."""

import jax
import jax.numpy as jnp

from pmm_jax.methods import register
from pmm_jax.methods.pmm import PMM, StageInput
from pmm_jax.mixing import hard_mix


@register
class HalfMix(PMM):
    """PMM with one fixed block."""

    name = "half_mix"
    title = "Half mix"
    attentive = False

    def mix_features(self, stage: StageInput) -> tuple[jax.Array, jax.Array]:
        n, h, w = stage.cam.shape
        mask = jnp.broadcast_to((jnp.arange(h) < h // 2)[None, :, None], (n, h, w))
        return hard_mix(stage.base, self.negatives(stage), mask, self.num_shards), mask
