"""Augmentation: what each of its steps may do to an image, and how often."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.config import DataConfig
from pmm_jax.data.augment import augment, jitter_colors, normalize

N, H, W = 64, 12, 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFF = {"flip_probability": 0.0, "erase_probability": 0.0, "crop_padding": 0, "erase_size": 1}


def random_images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, H, W, 3), dtype=np.uint8)


def augmented(images: np.ndarray, seed: int = 0, **fields: Any) -> np.ndarray:
    data = DataConfig(image_size=(H, W), **{**OFF, **fields})
    return np.asarray(augment(jax.random.key(seed), jnp.asarray(images), data))


def formula(images: np.ndarray) -> np.ndarray:
    wide = np.empty(images.shape)
    for c in range(3):
        wide[..., c] = (images[..., c] / 255 - MEAN[c]) / STD[c]
    return wide


def assert_normalized(found: np.ndarray, images: np.ndarray) -> None:
    np.testing.assert_allclose(found, formula(images), rtol=1e-5, atol=1e-5)


def within_chance(hits: float, fraction: float, count: int) -> bool:
    """Four deviations: the samples are fixed, so this either holds for good or never."""
    return abs(hits / count - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / count)


def test_normalize_against_its_formula() -> None:
    images = random_images()
    found = np.asarray(normalize(jnp.asarray(images)))
    assert found.dtype == np.float32
    assert_normalized(found, images)


def test_all_off_only_normalizes() -> None:
    assert_normalized(augmented(random_images()), random_images())
    # As people write it in Python.
    assert_normalized(
        augmented(random_images(), flip_probability=0, erase_probability=0), random_images()
    )


def mirrored(images: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which images came out mirrored; every other one must be as it was."""
    plain, mirror = formula(images), formula(images)[:, :, ::-1]
    flags = np.array([np.allclose(f, m, atol=1e-4) for f, m in zip(found, mirror, strict=True)])
    np.testing.assert_allclose(
        found, np.where(flags[:, None, None, None], mirror, plain), rtol=1e-5, atol=1e-5
    )
    return flags


def test_flip_mirrors_exactly_and_as_often_as_it_should() -> None:
    images = random_images()
    assert mirrored(images, augmented(images, flip_probability=1.0)).all()
    flags = [mirrored(images, augmented(images, seed, flip_probability=0.3)) for seed in range(8)]
    assert within_chance(np.sum(flags), 0.3, 8 * N)


def erased_square(found: np.ndarray, plain: np.ndarray) -> tuple[int, int, int, int] | None:
    """Top, left, height, width of what was set to 0, the rest being untouched."""
    zero = (found == 0).all(-1)
    rows, columns = np.flatnonzero(zero.any(1)), np.flatnonzero(zero.any(0))
    if not len(rows):
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-5)
        return None
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
    assert zero.sum() == height * width
    np.testing.assert_allclose(found[~zero], plain[~zero], rtol=1e-5, atol=1e-5)
    return top, left, height, width


def test_one_square_is_erased_anywhere_and_as_often_as_it_should() -> None:
    images, size, seeds = random_images(), 5, 8
    plain = formula(images)
    squares = []
    for seed in range(seeds):
        found = augmented(images, seed, erase_probability=0.5, erase_size=size)
        squares += [erased_square(f, p) for f, p in zip(found, plain, strict=True)]
    placed = [square for square in squares if square]
    assert within_chance(len(placed), 0.5, seeds * N)
    assert {square[2:] for square in placed} == {(size, size)}
    corners = np.zeros((H - size + 1, W - size + 1))
    for top, left, _, _ in placed:
        corners[top, left] += 1
    assert (corners > 0).all()  # 32 places, some 256 samples
    expected = len(placed) / corners.size
    chi_square = ((corners - expected) ** 2 / expected).sum()
    freedom = corners.size - 1
    assert chi_square < freedom + 4 * np.sqrt(2 * freedom)


def test_a_square_of_the_images_own_size_fits() -> None:
    found = augmented(random_images(), erase_probability=1.0, erase_size=W)
    assert ((found == 0).all(-1).sum((1, 2)) == W * W).all()


def test_crop_is_a_window_of_the_zero_padded_image() -> None:
    images, pad = random_images(), 2
    padded = np.zeros((N, H + 2 * pad, W + 2 * pad, 3), np.uint8)
    padded[:, pad:-pad, pad:-pad] = images
    corners = np.zeros((2 * pad + 1, 2 * pad + 1))
    for seed in range(4):
        found = augmented(images, seed, crop_padding=pad)
        for n in range(N):
            matches = [
                (top, left)
                for top in range(2 * pad + 1)
                for left in range(2 * pad + 1)
                if np.allclose(
                    found[n],
                    formula(padded[n, top : top + H, left : left + W]),
                    rtol=1e-5,
                    atol=1e-5,
                )
            ]
            assert len(matches) == 1
            corners[matches[0]] += 1
    assert (corners > 0).all()  # 25 places, 256 samples: the whole border is used


def test_flip_and_erasing_are_sampled_independently() -> None:
    images = random_images()
    hits = 0
    for seed in range(8):
        found = augmented(images, seed, flip_probability=0.5, erase_probability=0.5, erase_size=3)
        erased = (found == 0).all(-1).any((1, 2))
        flipped = np.array(
            [
                np.isclose(f, m, atol=1e-4).mean() > 0.5
                for f, m in zip(found, formula(images)[:, :, ::-1], strict=True)
            ]
        )
        hits += (erased & flipped).sum()
    assert within_chance(hits, 0.25, 8 * N)


def test_the_key_decides() -> None:
    fields = {"flip_probability": 0.5, "erase_probability": 0.5, "crop_padding": 2}
    first, again, other = (augmented(random_images(), seed, **fields) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def naive_jitter(image: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """One image, pixel by pixel, in float64."""
    brightness, contrast, saturation = factors
    weights = (0.299, 0.587, 0.114)

    def clip(value: float) -> float:
        return min(max(value, 0.0), 255.0)

    def gray(pixel: list[float]) -> float:
        return sum(w * v for w, v in zip(weights, pixel, strict=True))

    rows = [[[clip(v * brightness) for v in pixel] for pixel in row] for row in image.tolist()]
    mean = sum(gray(pixel) for row in rows for pixel in row) / (len(rows) * len(rows[0]))
    rows = [[[clip(mean + (v - mean) * contrast) for v in pixel] for pixel in row] for row in rows]
    return np.array(
        [
            [[clip(gray(pixel) + (v - gray(pixel)) * saturation) for v in pixel] for pixel in row]
            for row in rows
        ]
    )


def test_jitter_against_a_naive_one() -> None:
    key, strength, images = jax.random.key(3), 0.4, random_images()[:5]
    found = np.asarray(jitter_colors(key, jnp.asarray(images), strength))
    sampled = jax.random.uniform(key, (3, 5, 1, 1, 1), minval=0.6, maxval=1.4)
    factors = np.asarray(sampled, np.float64).reshape(3, 5)
    for i in range(5):
        expected = naive_jitter(images[i], tuple(factors[:, i]))
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-3)
    assert len({round(float(factor), 6) for factor in factors.ravel()}) == 15
    assert found.min() >= 0
    assert found.max() <= 255


def test_jitter_leaves_the_other_samples_alone() -> None:
    fields: dict[str, Any] = {"flip_probability": 0.5, "erase_size": 4, "crop_padding": 2}
    fields["erase_probability"] = 0.5
    plain, jittered = (
        augmented(random_images(), **fields),
        augmented(random_images(), **fields, color_jitter=1e-6),
    )
    np.testing.assert_allclose(plain, jittered, atol=1e-3)
    assert np.abs(augmented(random_images(), **fields, color_jitter=0.3) - plain).max() > 0.1


def test_all_steps_against_a_naive_one() -> None:
    """Padded, cropped, mirrored, jittered, normalized, erased: in this order, by these samples."""
    key, count, pad, size, strength = jax.random.key(5), 16, 2, 3, 0.3
    images = random_images()[:count]
    found = augmented(
        images,
        seed=5,
        crop_padding=pad,
        flip_probability=0.5,
        color_jitter=strength,
        erase_probability=0.5,
        erase_size=size,
    )
    crop, flip, erase = jax.random.split(key, 3)
    corners = np.asarray(jax.random.randint(crop, (count, 2), 0, 2 * pad + 1))
    flips = np.asarray(jax.random.bernoulli(flip, 0.5, (count,)))
    factors = jax.random.uniform(
        jax.random.fold_in(key, 0), (3, count), minval=1 - strength, maxval=1 + strength
    )
    chance, top, left = jax.random.split(erase, 3)
    erased = np.asarray(jax.random.bernoulli(chance, 0.5, (count,)))
    tops = np.asarray(jax.random.randint(top, (count,), 0, H - size + 1))
    lefts = np.asarray(jax.random.randint(left, (count,), 0, W - size + 1))
    assert 0 < flips.sum() < count
    assert 0 < erased.sum() < count
    for n in range(count):
        padded = np.zeros((H + 2 * pad, W + 2 * pad, 3), np.uint8)
        padded[pad : pad + H, pad : pad + W] = images[n]
        row, column = corners[n]
        image = padded[row : row + H, column : column + W]
        if flips[n]:
            image = image[:, ::-1]
        brightness, contrast, saturation = (float(factor) for factor in factors[:, n])
        expected = formula(naive_jitter(image, (brightness, contrast, saturation)))
        if erased[n]:
            expected[tops[n] : tops[n] + size, lefts[n] : lefts[n] + size] = 0
        np.testing.assert_allclose(found[n], expected, rtol=1e-4, atol=1e-4)
