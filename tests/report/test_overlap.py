"""The overlap of stages, against sets of blocks."""

import itertools

import numpy as np
import pytest

from pmm_jax.report.overlap import block_overlap, by_chance

BLOCK, TOP_K = (2, 1), 2


def test_overlap_against_sets() -> None:
    rng = np.random.default_rng(0)
    cams = [rng.random((5, 4, 3)).astype(np.float32) for _ in range(3)]

    def best(cam: np.ndarray) -> set[tuple[int, int]]:
        sums = {(r, c): cam[r : r + 2, c].sum() for r in (0, 2) for c in range(3)}
        return set(sorted(sums, key=lambda place: -sums[place])[:TOP_K])

    ious = np.zeros(5)
    for one, other in itertools.combinations(cams, 2):
        for n in range(5):
            a, b = best(one[n]), best(other[n])
            ious[n] += len(a & b) / len(a | b) / 3
    assert 0 < ious.mean() < 1
    np.testing.assert_allclose(block_overlap(cams, BLOCK, TOP_K), ious)
    np.testing.assert_array_equal(block_overlap([cams[0], cams[0]], BLOCK, TOP_K), 1)


@pytest.mark.parametrize(("blocks", "top_k"), [(8, 1), (6, 2), (32, 3)])
def test_expected_iou_against_samples(blocks: int, top_k: int) -> None:
    rng = np.random.default_rng(0)
    ious = []
    for _ in range(5000):
        a = set(rng.choice(blocks, top_k, replace=False))
        b = set(rng.choice(blocks, top_k, replace=False))
        ious.append(len(a & b) / len(a | b))
    assert by_chance(blocks, top_k) == pytest.approx(np.mean(ious), abs=0.015)
