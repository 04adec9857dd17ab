"""Pages and PNG files of `pmm explain`."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.model.pmm import Kind, create_network
from pmm_jax.report.explanation.explanation import compare_pair, explain_identities, explain_match
from pmm_jax.report.heads import head_titles, parts, with_sum

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)
PATHS = ["one/a.jpg", "other/a.jpg"]


class Answers:
    """Stands for a model: what it answers is told apart by image, and takes no compilation."""

    network = create_network(SIZES, "pmm", 5)
    classes = 5

    def classify(self, images: list[np.ndarray], batch_size: int) -> np.ndarray:
        return np.array([len(image) % 5 for image in images])

    def explain(
        self, images: list[np.ndarray], identities: np.ndarray, batch_size: int
    ) -> np.ndarray:
        assert identities.tolist() == self.classify(images, batch_size).tolist()
        return np.stack([cams_of(len(image)) for image in images])

    def explain_pair(
        self, images: list[np.ndarray], others: list[np.ndarray], batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        one, other = (np.stack([cams_of(len(x)) for x in side]) for side in (images, others))
        return one, other

    def embed(self, images: list[np.ndarray], batch_size: int) -> np.ndarray:
        return np.stack([np.random.default_rng(len(image)).random(48) for image in images])


def cams_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((3, 4, 2))


@pytest.fixture
def pmm() -> Model:
    return cast(Model, Answers())


@pytest.fixture
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50 + i, 30, 3), dtype=np.uint8) for i in range(2)]


def test_a_page_of_identities(pmm: Model, images: list[np.ndarray], tmp_path: Path) -> None:
    found = explain_identities(pmm, "run", PATHS, images, Display(quiet=True))
    np.testing.assert_array_equal(found.cams[1, :3], cams_of(51))
    assert found.lines[1] == "other/a.jpg: training identity 1"
    found.write(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/webp;base64") == 2 * (1 + 3 + 1)
    for title in ("Stage I", "Stage II", "Stage III", "All"):
        assert f'alt="{title}: one/a.jpg"' in page
    said = json.loads((tmp_path / "page.json").read_text())["identities"]
    assert said["images"][0] == {"path": "one/a.jpg", "identity": 0}
    assert said["identities"] == 5


def test_a_page_and_files_of_a_pair(pmm: Model, images: list[np.ndarray], tmp_path: Path) -> None:
    found = explain_match(pmm, "run", PATHS, images, Display(quiet=True))
    np.testing.assert_array_equal(found.cams[:, :3], [cams_of(50), cams_of(51)])
    found.write(tmp_path / "page.html")
    said = json.loads((tmp_path / "page.json").read_text())["pair"]
    one, other = pmm.embed(images, 2)
    assert said["distance"] == pytest.approx(np.linalg.norm(one - other), rel=1e-5)
    assert said["heads"]["stage3"] == "Stage III"
    found.write(tmp_path / "new" / "folder")
    files = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert files == sorted(
        f"0{number}_a_{part}.png" for number in (1, 2) for part in (*said["heads"], "all")
    )
    with Image.open(tmp_path / "new" / "folder" / files[0]) as picture:
        assert picture.height == 512


@pytest.mark.parametrize(
    "shape",
    [
        (20, 2000, 3),
        pytest.param((1, 5000, 3), marks=pytest.mark.slow),
        (5000, 1, 3),
    ],
)
def test_images_of_any_shape_are_shown(
    pmm: Model, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    images = [np.zeros(shape, np.uint8)] * 2
    found = explain_match(pmm, "run", PATHS, images, Display(quiet=True))
    found.write(tmp_path / "page.html")
    found.write(tmp_path / "folder")
    assert "missing" not in json.loads((tmp_path / "page.json").read_text())["pair"]


def test_what_can_not_be_written(pmm: Model, images: list[np.ndarray], tmp_path: Path) -> None:
    found = explain_match(pmm, "run", PATHS, images, Display(quiet=True))
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "folder", tmp_path / "file" / "page.html"):
        with pytest.raises(UserError, match="can't be written"):
            found.write(out)


def test_figures_of_a_pair() -> None:
    embeddings = np.array([[1.0, 2, 0, 4], [3, 0, 1, 2]], np.float32)
    found = compare_pair(embeddings, {"stage1": embeddings[:, :1], "stage2": embeddings[:, 1:]})
    assert found["products"] == {"stage1": 3, "stage2": 8}
    assert found["share"] == pytest.approx({"stage1": 3 / 11, "stage2": 8 / 11})
    assert found["distances"] == pytest.approx({"stage1": 2, "stage2": 3})
    assert found["distance"] == pytest.approx(13**0.5)
    assert found["cosine"] == pytest.approx(11 / (21 * 14) ** 0.5)
    assert np.isnan(compare_pair(0 * embeddings, {"stage1": embeddings})["cosine"])


def test_the_sum_weighs_no_head() -> None:
    cams = np.random.default_rng(0).random((2, 3, 4, 2))
    np.testing.assert_allclose(with_sum(cams)[:, 3], cams[:, 0] + cams[:, 1] + cams[:, 2])
    assert with_sum(cams[:, :1]).shape == (2, 1, 4, 2)


@pytest.mark.parametrize(
    ("kind", "titles", "sizes"),
    [
        ("pmm", ["Stage I", "Stage II", "Stage III"], [16, 16, 16]),
        ("bdb", ["Global branch", "Drop branch"], [16, 32]),
        ("baseline", ["The head"], [16]),
        ("trunk", ["Mean of the map"], [256]),
    ],
)
def test_heads_and_their_parts(kind: Kind, titles: list[str], sizes: list[int]) -> None:
    network = create_network(SIZES, kind, 5)
    assert head_titles(network) == titles
    embeddings = np.arange(2 * sum(sizes)).reshape(2, -1)
    found = parts(embeddings, network)
    assert [x.shape[1] for x in found.values()] == sizes
    np.testing.assert_array_equal(np.concatenate(list(found.values()), axis=1), embeddings)
