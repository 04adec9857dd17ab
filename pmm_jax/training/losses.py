"""The losses of one stage: label-smoothed cross entropy, batch-hard triplet, center loss."""

import jax
import jax.numpy as jnp
import numpy as np

CENTER_RATE = 0.5
"""Learning rate of the center loss's centers (Luo et al., 2019), whatever the loss's weight."""


def smoothed_cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """Mean cross entropy against (1 - smoothing) * one-hot + smoothing / C.

    Args:
        logits: (N, C).
        labels: (N,) int.
        smoothing: epsilon, 0 to 1.

    Returns:
        Scalar.
    """
    # Targets are rounded to float32, as the release's are, so that even in float64 both agree.
    other = np.float32(smoothing / logits.shape[1])
    own = np.float32(1 - smoothing) + other
    log_p = jax.nn.log_softmax(logits)
    true = jnp.take_along_axis(log_p, labels[:, None], 1)[:, 0]
    return -((float(own) - float(other)) * true + float(other) * log_p.sum(1)).mean()


def batch_hard_triplet(embeddings: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean of log(1 + exp(d_ap - d_an)) over the batch (Hermans et al. 2017, soft margin).

    d is Euclidean; ap is each anchor's farthest image of its identity (itself, at distance 0,
    where there is no other) and an its nearest of another.

    Args:
        embeddings: (N, D), not normalized.
        labels: (N,) int, two identities or more.

    Returns:
        Scalar.
    """
    squares = jnp.square(embeddings).sum(1)
    # An accelerator's default rounds the factors, and the difference below would keep little.
    products = jnp.matmul(embeddings, embeddings.T, precision="highest")
    squared = squares[:, None] + squares[None, :] - 2 * products
    distances = jnp.sqrt(jnp.maximum(squared, 1e-12))  # the root's slope at 0 is infinite
    same = labels[:, None] == labels[None, :]
    hardest_positive = jnp.where(same, distances, -jnp.inf).argmax(1)
    hardest_negative = jnp.where(same, jnp.inf, distances).argmin(1)
    ap = jnp.take_along_axis(distances, hardest_positive[:, None], 1)[:, 0]
    an = jnp.take_along_axis(distances, hardest_negative[:, None], 1)[:, 0]
    return jax.nn.softplus(ap - an).mean()


def center_loss(embeddings: jax.Array, labels: jax.Array, centers: jax.Array) -> jax.Array:
    """Mean squared distance of an image's embedding from its identity's center.

    As reid-strong-baseline has it: half of it is Wen et al.'s (2016), up to the mean.

    Args:
        embeddings: (N, D).
        labels: (N,) int.
        centers: (C, D).

    Returns:
        Scalar.
    """
    return jnp.square(embeddings - centers[labels]).sum(1).mean()


def move_centers(embeddings: jax.Array, labels: jax.Array, centers: jax.Array) -> jax.Array:
    """The centers after a step of SGD on the center loss alone; arguments are the loss's."""
    gradient = jax.grad(center_loss, 2)(embeddings, labels, centers)
    return centers - CENTER_RATE * gradient
