import numpy as np
import pytest
from PIL import Image, ImageFilter

from pmm_jax.evaluation.bootstrap import mean_interval
from pmm_jax.report.difficulty import measured, quartiles


def test_measures_of_an_image() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 96, 3)).astype(np.uint8)
    blurred = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)))
    height, brightness, sharpness = measured(noise)
    assert height == 256
    assert brightness == pytest.approx(127.5, abs=2)
    assert measured(blurred)[2] < sharpness / 10
    assert measured(np.full((64, 32, 3), 90, np.uint8)) == (64, 90, 0)


def test_quartiles_are_means_with_intervals() -> None:
    rng = np.random.default_rng(1)
    values, precisions = rng.permutation(40).astype(float), rng.random(40)
    groups = quartiles(values, precisions, seed=5)
    assert [group["queries"] for group in groups] == [10, 10, 10, 10]
    assert [(group["low"], group["high"]) for group in groups] == [
        (0, 9), (10, 19), (20, 29), (30, 39),
    ]  # fmt: skip
    expected = mean_interval(precisions[values >= 30], 5)
    assert groups[3]["mAP"] == expected.mean == pytest.approx(precisions[values >= 30].mean())
    assert groups[3]["interval"] == [expected.low, expected.high]


def test_equal_values_stay_together_and_unknown_ones_are_left_out() -> None:
    values = np.array([1.0, 1.0, 1.0, 2.0, 2.0, np.nan, 9.0])
    precisions = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 1.0, np.nan])
    groups = quartiles(values, precisions, seed=0)
    assert [(group["low"], group["high"], group["queries"]) for group in groups] == [
        (1, 1, 3), (2, 2, 2),
    ]  # fmt: skip
    assert len(quartiles(np.full(5, 128.0), np.arange(5) / 5, 0)) == 1
    assert quartiles(np.full(2, np.nan), np.ones(2), 0) == []
