"""The map that says where an image is salient."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from pmm_jax.model.saliency import SaliencyTrunk


class Channels(nn.Module):
    """A trunk whose map is linear in the images, with a channel of its own for a parameter."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (5,))
        return images[..., :1] * scale[None, None, None]


def test_saliency_is_the_mean_activation() -> None:
    images = np.random.default_rng(2).random((3, 4, 2, 3)).astype(np.float32)
    scale = jnp.asarray([1.0, -2.0, 4.0, 0.5, 3.0])
    trunk = SaliencyTrunk(Channels(), {"scale": scale}, {})
    found = trunk.saliency(jnp.float32, jnp.asarray(images))
    np.testing.assert_allclose(found, images[..., 0] * scale.mean(), rtol=1e-6)


def test_no_gradient_goes_through_saliency() -> None:
    trunk = SaliencyTrunk(Channels(), {"scale": jnp.ones(5)}, {})
    slope = jax.grad(lambda x: trunk.saliency(jnp.float32, x).sum())(jnp.ones((3, 4, 2, 3)))
    assert (np.asarray(slope) == 0).all()
