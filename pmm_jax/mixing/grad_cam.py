"""Grad-CAM of a stage's score with respect to its input map (paper, section 2.1)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def grad_cam(
    head: Callable[[jax.Array], jax.Array], feature_map: jax.Array, labels: jax.Array
) -> jax.Array:
    """Grad-CAM of a head for each image's true identity.

    The score is the sum over the batch of the true-class logits. Only the head is differentiated:
    the map's channel weights are d score / d map, averaged over space, and the trunk below has no
    part in them. Everything is detached, so the trunk's backward pass is not entered and "the
    latter stage is not able to distract the previous one".

    Args:
        head: feature map (N, H, W, C) to logits (N, identities).
        feature_map: (N, H, W, C), the map that the stage saw.
        labels: (N,) int.

    Returns:
        (N, H, W) in float32 or wider, >= 0, not normalized.

    Example:
        >>> from pmm_jax.mixing import grad_cam
        >>> weights = jnp.array([[1.0, 0.0], [0.0, 1.0]])  # identity 0 goes by the first channel
        >>> head = lambda feature_map: feature_map.mean((1, 2)) @ weights
        >>> feature_map = jnp.array([[[[8.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 8.0]]]])
        >>> grad_cam(head, feature_map, labels=jnp.array([0])).tolist()
        [[[2.0, 0.0], [0.0, 0.0]]]
    """
    feature_map = jax.lax.stop_gradient(feature_map)
    logits, backward = jax.vjp(head, feature_map)
    (gradient,) = backward(jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype))
    wide = jnp.promote_types(feature_map.dtype, jnp.float32)
    channel_weights = gradient.astype(wide).mean((1, 2))
    cam = jnp.einsum("nhwc,nc->nhw", feature_map.astype(wide), channel_weights, precision="highest")
    return jax.lax.stop_gradient(jax.nn.relu(cam))
