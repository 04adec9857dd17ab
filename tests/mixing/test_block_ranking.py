"""Block scores and the mask of eq. 1 against loops."""

import jax.numpy as jnp
import numpy as np
import pytest

from pmm_jax.mixing import block_mask, block_scores


def naive_scores(cam: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    scores = []
    for image in cam:
        row = []
        for top in range(0, image.shape[0], block[0]):
            for left in range(0, image.shape[1], block[1]):
                total = 0.0
                for i in range(block[0]):
                    for j in range(block[1]):
                        total += float(image[top + i, left + j])
                row.append(total)
        scores.append(row)
    return np.array(scores)


def naive_mask(cam: np.ndarray, block: tuple[int, int], top_k: int) -> np.ndarray:
    mask = np.ones(cam.shape, bool)
    columns = cam.shape[2] // block[1]
    for n, scores in enumerate(naive_scores(cam, block)):
        # Highest first; among equals the one that is read first.
        for number in sorted(range(len(scores)), key=lambda b: (-scores[b], b))[:top_k]:
            top, left = number // columns * block[0], number % columns * block[1]
            for i in range(block[0]):
                for j in range(block[1]):
                    mask[n, top + i, left + j] = False
    return mask


SIZES = [
    ((24, 8), (3, 2), 3),
    ((24, 8), (3, 2), 8),
    ((12, 4), (3, 2), 1),
    ((6, 4), (2, 4), 2),
    ((4, 6), (4, 1), 5),
    ((4, 6), (1, 1), 7),
]


@pytest.mark.parametrize(("size", "block", "top_k"), SIZES)
def test_scores_and_mask_against_loops(
    size: tuple[int, int], block: tuple[int, int], top_k: int
) -> None:
    # Whole numbers: sums are exact in any order, and many blocks tie.
    for seed, high in ((0, 1000), (1, 3), (2, 2)):
        cam = np.random.default_rng(seed).integers(0, high, (5, *size)).astype(np.float32)
        scores = np.asarray(block_scores(jnp.asarray(cam), block))
        np.testing.assert_array_equal(scores, naive_scores(cam, block))
        mask = np.asarray(block_mask(jnp.asarray(cam), block, top_k))
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, naive_mask(cam, block, top_k))
        assert ((~mask).sum((1, 2)) == top_k * block[0] * block[1]).all()


def test_ties_are_taken_in_reading_order() -> None:
    mask = np.asarray(block_mask(jnp.zeros((1, 6, 4)), (3, 2), 2))[0]
    # The top row of blocks goes; column by column it would be the left column.
    assert not mask[:3].any()
    assert mask[3:].all()


def test_all_blocks_may_be_replaced() -> None:
    assert not np.asarray(block_mask(jnp.ones((2, 6, 4)), (3, 2), 4)).any()


def test_each_image_has_its_own_blocks() -> None:
    cam = np.zeros((2, 4, 4), np.float32)
    cam[0, 0, 3] = cam[1, 3, 0] = 1
    mask = np.asarray(block_mask(jnp.asarray(cam), (2, 2), 1))
    assert not mask[0, :2, 2:].any()
    assert not mask[1, 2:, :2].any()
    assert mask.sum() == 2 * 12
