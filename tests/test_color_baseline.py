import numpy as np
import pytest
from PIL import Image

from pmm_jax.color_baseline import STRIPES, color_baseline, striped_histogram
from pmm_jax.config import Config, RankConfig
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import open_split


def test_a_histogram_is_a_unit_vector_of_the_stripes_shares() -> None:
    image = np.zeros((16, 4, 3), np.uint8)
    found = striped_histogram(image)
    cells = np.flatnonzero(found)
    assert len(cells) == STRIPES  # one color, so one bin of each stripe
    np.testing.assert_allclose(found[cells], np.sqrt(1 / STRIPES), rtol=1e-6)
    image[:8] = 255
    assert found @ striped_histogram(image) == pytest.approx(0.5)
    noise = np.random.default_rng(0).integers(0, 256, (30, 9, 3)).astype(np.uint8)
    assert np.linalg.norm(striped_histogram(noise)) == pytest.approx(1)


def test_the_bins_are_those_of_pils_conversion() -> None:
    image = np.random.default_rng(1).integers(0, 256, (32, 50, 3)).astype(np.uint8)
    hue, saturation, value = np.moveaxis(
        np.asarray(Image.fromarray(image).convert("HSV")).astype(int), 2, 0
    )
    bins = (hue * 8 // 256 * 4 + saturation * 4 // 256) * 4 + value * 4 // 256
    stripes = bins.reshape(STRIPES, -1)
    expected = np.concatenate([np.bincount(stripe, minlength=128) for stripe in stripes])
    found = striped_histogram(image)
    np.testing.assert_allclose(found, np.sqrt(expected / expected.sum()), rtol=1e-6)


def test_it_ranks_prepared_images(tiny: Config) -> None:
    prepare(tiny.data)
    query, gallery = (open_split(tiny.data, name) for name in ("query", "gallery"))
    metrics = color_baseline(query, gallery, RankConfig())
    assert metrics.evaluated == 6
    assert 0 < metrics.mAP < 1
    # A person's images of one camera are as good as the same picture.
    assert color_baseline(query, gallery, RankConfig(cameras=False)).mAP > metrics.mAP
