"""Section "Where it looks": which images, which blocks, and what the page says."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pmm_jax.config import Config
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import open_split
from pmm_jax.display import Display
from pmm_jax.methods import create_model
from pmm_jax.report.page import write_page
from pmm_jax.report.section import Section
from pmm_jax.report.sections.attention import build, identity_rows, replaced_masks, stage_looks


class Subject(SimpleNamespace):
    """Stands for a run with a model that needs no compilation."""

    def __init__(self, config: Config) -> None:
        prepare(config.data)
        split = open_split(config.data, "train")
        network = create_model(config, len(np.unique(split.identities)))
        heads = len(network.embedding_sizes)

        def explain(images: list[np.ndarray], labels: np.ndarray, batch_size: int) -> np.ndarray:
            # Each head's highest cell in another block, in another row for each identity.
            cams = np.ones((len(images), heads, 6, 2), np.float32)
            for cam, label in zip(cams, labels, strict=True):
                for head in range(heads):
                    cam[head, (label + head) % 6, head % 2] = 9
            return cams

        super().__init__(
            name="run",
            subtitle="",
            missing={},
            display=Display(quiet=True),
            config=config,
            model=SimpleNamespace(network=network, explain=explain),
            split=lambda _: split,
        )


def method(config: Config, name: str, **fields: Any) -> Config:
    return replace(config, method=replace(config.method, name=name, **fields))


def test_identities_are_spread_evenly_and_known_by_their_first_image() -> None:
    identities = np.repeat([7, 3, 5, 9, 1], 3)
    np.testing.assert_array_equal(identities[identity_rows(identities, 3)], [1, 5, 9])
    np.testing.assert_array_equal(identity_rows(identities, 99), [12, 3, 6, 0, 9])


def test_outlined_is_what_the_next_stage_loses(tiny: Config) -> None:
    cams = np.random.default_rng(0).random((2, 3, 6, 2)).astype(np.float32)
    masks = replaced_masks(cams, method(tiny, "pmm", top_k=1))
    for cam, mask in zip(cams, masks, strict=True):
        for stage in (0, 1):
            sums = cam[stage].reshape(3, 2, 2).sum(1)
            row, column = np.unravel_index(sums.argmax(), sums.shape)
            expected = np.ones((6, 2), bool)
            expected[2 * row : 2 * row + 2, column] = False
            np.testing.assert_array_equal(mask[stage], expected)
        assert mask[2] is None
    assert replaced_masks(cams[:, :1], method(tiny, "pmm")) == [[None], [None]]


@pytest.mark.parametrize("name", ["none", "random_mix", "bdb", "a_cutmix", "cutmix"])
def test_methods_that_choose_no_blocks_by_cam_have_no_outline(tiny: Config, name: str) -> None:
    cams = np.ones((1, 2, 6, 2), np.float32)
    assert replaced_masks(cams, method(tiny, name)) == [[None, None]]


@pytest.mark.parametrize(("name", "heads"), [("pmm", 3), ("bdb", 2), ("baseline", 1)])
def test_the_section(tiny: Config, tmp_path: Path, name: str, heads: int) -> None:
    run = Subject(method(tiny, name))
    section: Section[Any] = Section("attention", "Where it looks", build)
    write_page(run, [section], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    said = json.loads((tmp_path / "page.json").read_text())["attention"]
    assert page.count("data:image/webp;base64") == 9 * (1 + heads)
    assert len({image["identity"] for image in said["images"]}) == said["identities"] == 9
    assert ("white outline" in page) == (name == "pmm")
    if heads == 1:
        assert said["overlap"] is None
        return
    assert 0 < said["overlap"]["value"] < 1
    assert said["overlap"]["blocks"] == 6
    assert said["overlap"]["images"] == 36
    low, high = said["overlap"]["interval"]
    assert low <= said["overlap"]["value"] <= high
    assert f"<strong>{100 * said['overlap']['value']:.1f} %</strong>" in page


def test_other_runs_show_the_same_images(tiny: Config) -> None:
    pmm, bdb = (Subject(method(tiny, name)) for name in ("pmm", "bdb"))
    rows = identity_rows(pmm.split("train").identities, 4)
    above, below = (stage_looks(run, rows) for run in (pmm, bdb))  # type: ignore[arg-type]
    assert [len(looks) for looks in above] == [3] * 4
    assert [len(looks) for looks in below] == [2] * 4
    assert above == stage_looks(pmm, rows)  # type: ignore[arg-type]
