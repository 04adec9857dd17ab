"""The losses against loops, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.training.losses import batch_hard_triplet, smoothed_cross_entropy

pytestmark = pytest.mark.usefixtures("x64")


def naive_triplet(embeddings: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for anchor in range(len(labels)):
        farthest, nearest = -np.inf, np.inf
        for other in range(len(labels)):
            squared = float(((embeddings[anchor] - embeddings[other]) ** 2).sum())
            distance = np.sqrt(max(squared, 1e-12))
            if labels[other] == labels[anchor]:  # the anchor itself too
                farthest = max(farthest, distance)
            else:
                nearest = min(nearest, distance)
        total += np.log1p(np.exp(farthest - nearest))
    return total / len(labels)


def gradient_of_triplet(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(jax.grad(batch_hard_triplet))(embeddings, labels))


def naive_cross_entropy(logits: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    total = 0.0
    count, classes = logits.shape
    for n in range(count):
        p = np.exp(logits[n]) / np.exp(logits[n]).sum()
        for c in range(classes):
            # In float32, as the release makes its targets.
            target = np.float32(1 - smoothing) * np.float32(c == labels[n])
            target += np.float32(smoothing / classes)
            total -= float(target) * np.log(p[c])
    return total / count


LABELS = [
    np.repeat(np.arange(4), 4),
    np.array([3, 1, 3, 3, 0, 1, 2, 1, 3]),  # unordered, uneven; 0 and 2 have one image each
    np.arange(6),  # nobody has a second image
]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
def test_triplet_against_loops(labels: np.ndarray, scale: float) -> None:
    embeddings = scale * np.random.default_rng(len(labels)).standard_normal((len(labels), 7))
    loss = jax.jit(batch_hard_triplet)(embeddings, labels)
    assert loss.dtype == jnp.float64
    np.testing.assert_allclose(loss, naive_triplet(embeddings, labels), rtol=1e-10)


def test_a_single_image_is_its_own_positive() -> None:
    embeddings = np.array([[0.0, 0.0], [3.0, 4.0]])
    expected = np.log1p(np.exp(1e-6 - 5.0))  # sqrt(1e-12), not 0
    loss = jax.jit(batch_hard_triplet)(embeddings, np.array([0, 1]))
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_triplet_gradient_against_finite_differences() -> None:
    labels = LABELS[1]
    embeddings = np.random.default_rng(1).standard_normal((len(labels), 3))
    gradient = gradient_of_triplet(embeddings, labels)
    step = 1e-6
    for place in np.ndindex(embeddings.shape):
        up, down = embeddings.copy(), embeddings.copy()
        up[place] += step
        down[place] -= step
        slope = (naive_triplet(up, labels) - naive_triplet(down, labels)) / (2 * step)
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-5, atol=1e-8)


def test_images_that_coincide_have_a_finite_gradient() -> None:
    gradient = gradient_of_triplet(np.zeros((4, 3)), np.array([0, 0, 1, 1]))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothed_cross_entropy_against_loops(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.standard_normal((6, 5)), rng.integers(0, 5, 6)
    loss = jax.jit(smoothed_cross_entropy, static_argnums=2)(logits, labels, smoothing)
    np.testing.assert_allclose(loss, naive_cross_entropy(logits, labels, smoothing), rtol=1e-12)


def test_large_logits_do_not_overflow() -> None:
    logits = jnp.asarray([[1e4, 0.0], [0.0, 1e4]])
    loss = smoothed_cross_entropy(logits, jnp.array([0, 0]), 0.0)
    np.testing.assert_allclose(loss, 5e3, rtol=1e-12)
