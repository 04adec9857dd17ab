import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.tools import method_figure
from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params


@pytest.fixture
def run(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A run of untrained weights, without its checkpoint."""
    prepare(tiny.data)
    network = create_model(tiny, 9)
    found = tiny, network, *init_params(network, seed=0)
    monkeypatch.setattr(method_figure, "restore_run", lambda workdir, checkpoint: found)
    return tiny


@pytest.mark.slow
def test_the_picture_has_a_row_an_anchor_and_is_the_same_again(
    run: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "images" / name for name in ("first.webp", "second.webp")]
    for path in paths:
        words = ["method_figure", "--out", str(path), "--anchors", "0", "3"]
        monkeypatch.setattr(sys, "argv", words)
        method_figure.main()
    with Image.open(paths[0]) as picture:
        assert picture.mode == "RGB"  # opaque, whatever the page's background
        assert picture.size == (1600, 76 + 2 * 616)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_is_replaced_is_the_negatives_and_nothing_else(run: Config) -> None:
    for anchor in method_figure.mix_anchors(Path("run"), [0, 5]):
        for stage, blocks, negative in zip((2, 3), anchor.replaced, anchor.negatives, strict=True):
            assert blocks.shape == (3, 2)
            assert blocks.sum() == run.method.top_k
            mixed = anchor.mixed(stage)
            for y, x in np.ndindex(blocks.shape):
                place = slice(32 * y, 32 * y + 32), slice(16 * x, 16 * x + 16)
                source = negative if blocks[y, x] else anchor.image
                np.testing.assert_array_equal(mixed[place], source[place])
            assert not np.array_equal(mixed, anchor.image)


@pytest.mark.parametrize(
    "other",
    [{"name": "bdb"}, {"name": "random_mix"}, {"stages": 2}, {"mining": "hardest"}],
    ids=str,
)
def test_what_the_panels_would_not_show_is_refused(
    tiny: Config,
    other: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = replace(tiny, method=replace(tiny.method, **other))
    monkeypatch.setattr(method_figure, "restore_run", lambda *words: (changed, None, {}, {}))
    monkeypatch.setattr(sys, "argv", ["method_figure"])
    with pytest.raises(SystemExit, match="2"):
        method_figure.main()
    assert "isn't a run of PMM" in capsys.readouterr().err
