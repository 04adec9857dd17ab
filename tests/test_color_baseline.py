from pathlib import Path

import numpy as np
import pytest

from pmm_jax.color_baseline import STRIPES, color_baseline, striped_histogram
from pmm_jax.errors import UserError


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


def test_it_ranks_a_set_in_market_1501s_layout(people: Path) -> None:
    metrics = color_baseline(people)
    assert metrics.evaluated == 6
    assert 0 < metrics.mAP < 1


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        color_baseline(tmp_path / "none")
