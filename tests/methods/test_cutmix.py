"""CutMix and Attentive CutMix against loops."""

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.config import Config, MethodConfig
from pmm_jax.methods import MixedTarget, TrainBatch
from pmm_jax.methods.cutmix import CutMix, PasteSample, attentive_cutmix, cutmix, sample_box

N, H, W = 4, 32, 16
PARTNERS = np.array([3, 0, 2, 1])


def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N, H, W, 3)).astype(np.float32)


def test_cutmix_against_loops() -> None:
    pictures, (top, bottom, left, right) = images(), (5, 21, 0, 7)
    expected = pictures.copy()
    for n in range(N):
        for i in range(top, bottom):
            for j in range(left, right):
                expected[n, i, j] = pictures[PARTNERS[n], i, j]
    box = jnp.asarray([top, bottom, left, right])
    mixed, lam = cutmix(jnp.asarray(pictures), box, jnp.asarray(PARTNERS))
    np.testing.assert_array_equal(mixed, expected)
    assert float(lam) == np.float32(1 - 16 * 7 / (H * W))
    assert (mixed[2] == pictures[2]).all()  # its own partner


def test_boxes_are_those_of_the_published_code() -> None:
    """Its rand_bbox, with the same three random numbers."""
    key = jax.random.key(0)
    keys = jax.random.split(key, 500)
    found = np.asarray(jax.jit(jax.vmap(lambda key: sample_box(key, (H, W))))(keys))
    areas = []
    for key, (top, bottom, left, right) in zip(keys, found, strict=True):
        lam_key, row_key, column_key = jax.random.split(key, 3)
        ratio = np.sqrt(1 - np.float32(jax.random.uniform(lam_key)))
        row, column = (
            int(jax.random.randint(k, (), 0, size)) for k, size in ((row_key, H), (column_key, W))
        )
        height, width = int(H * ratio), int(W * ratio)
        assert (top, bottom) == (max(row - height // 2, 0), min(row + height // 2, H))
        assert (left, right) == (max(column - width // 2, 0), min(column + width // 2, W))
        areas.append((bottom - top) * (right - left) / (H * W))
    assert 0.2 < np.mean(areas) < 0.4  # half, less what the edges cut off
    assert max(areas) > 0.8


def test_attentive_cutmix_against_loops() -> None:
    pictures, block, top_k = images(), (2, 1), 2
    cam = np.random.default_rng(1).random((N, 4, 2)).astype(np.float32)
    expected = pictures.copy()
    for n in range(N):
        partner = PARTNERS[n]
        sums = {
            (top, left): cam[partner, top : top + 2, left].sum()
            for top in (0, 2)
            for left in (0, 1)
        }
        for top, left in sorted(sums, key=lambda place: -sums[place])[:top_k]:
            # A cell is 8 x 8 pixels.
            window = slice(8 * top, 8 * (top + 2)), slice(8 * left, 8 * (left + 1))
            expected[(n, *window)] = pictures[(partner, *window)]
    mixed, lam = attentive_cutmix(
        jnp.asarray(pictures), jnp.asarray(cam), jnp.asarray(PARTNERS), block, top_k
    )
    np.testing.assert_array_equal(mixed, expected)
    assert float(lam) == 0.5


def test_cutmixs_labels_are_those_of_the_pixels() -> None:
    config = Config(method=MethodConfig(name="cutmix"))
    pictures, box = images(), jnp.asarray([0, 8, 0, 4])
    labels = jnp.asarray([5, 6, 7, 8])
    batch = TrainBatch(jnp.asarray(pictures), labels, PasteSample(box, jnp.asarray(PARTNERS)))
    mixed, target = CutMix(config).mix_images(batch, lambda x: x)
    assert isinstance(target, MixedTarget)
    np.testing.assert_array_equal(mixed.images[:, :8, :4], pictures[PARTNERS][:, :8, :4])
    np.testing.assert_array_equal(target.labels, labels)
    np.testing.assert_array_equal(target.mixed_labels, np.asarray(labels)[PARTNERS])
    assert float(target.lam) == 1 - 8 * 4 / (pictures.shape[1] * pictures.shape[2])
