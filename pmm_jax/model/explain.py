"""Grad-CAM of a trained network's heads, for an identity or for a match of two images.

All at test time: nothing is mixed, and BatchNorm uses its running statistics.
"""

from functools import partial

import jax
import jax.numpy as jnp

from pmm_jax.mixing import grad_cam
from pmm_jax.model.pmm import Head, Network, Tree, inference_heads


def stage_cams(
    network: Network,
    params: Tree,
    batch_stats: Tree,
    images: jax.Array,
    labels: jax.Array | None = None,
) -> jax.Array:
    """Each head's Grad-CAM for an identity of the training set (paper, Figure 4).

    Args:
        network: the modules; a bare trunk has no identities.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        images: (N, H, W, 3), normalized.
        labels: (N,) int; by default what `classify` returns.

    Returns:
        (N, S, h, w) float32 or wider, >= 0, not normalized: stage I on the trunk's map, the others
        on the part block's.

    Raises:
        ValueError: a bare trunk.
    """
    heads = inference_heads(network, params, batch_stats, images)
    if labels is None:
        labels = _most_likely(heads)
    return jnp.stack([grad_cam(partial(_logits, head), x, labels) for head, x in heads], axis=1)


def classify(network: Network, params: Tree, batch_stats: Tree, images: jax.Array) -> jax.Array:
    """The training identity with the largest sum of the heads' logits, (N,) int.

    Args:
        network: the modules; a bare trunk has no identities.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        images: (N, H, W, 3), normalized.

    Raises:
        ValueError: a bare trunk.
    """
    return _most_likely(inference_heads(network, params, batch_stats, images))


def _most_likely(heads: list[tuple[Head, jax.Array]]) -> jax.Array:
    return jnp.stack([_logits(head, x) for head, x in heads]).sum(0).argmax(1)


def _logits(head: Head, x: jax.Array) -> jax.Array:
    logits = head(x)[1]
    if logits is None:
        raise ValueError("a bare trunk knows no identities")
    return logits


def match_cams(
    network: Network, params: Tree, batch_stats: Tree, images: jax.Array, others: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Grad-CAM of each head for the similarity of two images.

    The score is the inner product of a head's two embeddings, each time differentiated with respect
    to one image's map, the other held fixed. It is what a squared distance holds besides the two
    lengths. Their cosine won't do: for two equal images it is at its maximum, and its gradient 0.

    Args:
        network: the modules.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        images: (N, H, W, 3), normalized.
        others: likewise, one for each image.

    Returns:
        Of the images and of the others, (N, S, h, w) each, as `stage_cams`.
    """
    count = len(images)
    heads = inference_heads(network, params, batch_stats, jnp.concatenate([images, others]))
    maps = []
    for head, x in heads:
        embeddings = head(x)[0]
        partner = jnp.concatenate([embeddings[count:], embeddings[:count]])
        maps.append(grad_cam(partial(_products, head, partner), x, jnp.zeros(len(x), int)))
    cams = jnp.stack(maps, axis=1)
    return cams[:count], cams[count:]


def _products(head: Head, partner: jax.Array, x: jax.Array) -> jax.Array:
    """(N, 1): a single "class", so that Grad-CAM takes the whole."""
    return (head(x)[0] * partner).sum(1, keepdims=True)
