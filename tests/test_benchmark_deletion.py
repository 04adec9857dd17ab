"""The deletion check on arrays, and on a model whose embeddings are known."""

from typing import Any

import numpy as np
import pytest

from benchmarks.deletion import (
    blanked,
    cosines,
    deletion_drops,
    highest_cells,
    nearest_pairs,
    random_cells,
)
from pmm_jax.config import ModelConfig
from pmm_jax.data.augment import MEAN
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.model.pmm import create_network

COLOR = np.rint(255 * MEAN)


def test_as_many_cells_at_random_as_by_the_cam() -> None:
    rng = np.random.default_rng(0)
    cams = rng.random((50, 5, 4))
    top, drawn = highest_cells(cams), random_cells(rng, cams.shape)
    assert set(top.sum((1, 2))) == set(drawn.sum((1, 2))) == {2}
    for cam, cells in zip(cams, top, strict=True):
        assert cam[cells].min() > cam[~cells].max()
    assert drawn.any(0).all()
    assert highest_cells(cams[:, :1]).sum() == 50


def test_a_blank_cell_is_its_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 32, 3), dtype=np.uint8)
    cells = np.zeros((2, 3, 2), bool)
    cells[1, 2, 0] = True
    found = blanked(images, cells)
    np.testing.assert_array_equal(found[1, 32:48, :16], np.broadcast_to(COLOR, (16, 16, 3)))
    found[1, 32:48, :16] = images[1, 32:48, :16]
    np.testing.assert_array_equal(found, images)


def test_cosines() -> None:
    one, other = np.array([[3.0, 4], [0, 0]]), np.array([[4.0, 3], [1, 1]])
    np.testing.assert_allclose(cosines(one, other), [24 / 25, 0])


class Cells:
    """Embeds by what two of six cells hold, a head each; its CAMs say so."""

    network = create_network(ModelConfig(embedding_size=1), "pmm", 5, stages=2)

    def embed(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        first, second = images[:, 5, 5], images[:, 40, 20]
        gray = np.abs(np.stack([first, second], axis=1) - COLOR[None, None]).sum(2)
        return gray.astype(np.float32)

    def explain_pair(
        self, images: np.ndarray, others: np.ndarray, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        cams = np.zeros((len(images), 2, 3, 2), np.float32)
        cams[:, 0, 0, 0], cams[:, 1, 2, 1] = 1, 3
        return cams, cams


def test_the_similarity_falls_where_the_evidence_is_blanked() -> None:
    model: Any = Cells()
    images = np.random.default_rng(0).integers(0, 60, (40, 48, 32, 3), dtype=np.uint8)
    found = deletion_drops(model, images, images[::-1], seed=0)
    assert list(found) == ["stage1", "stage2", "all"]
    for name in ("stage1", "stage2"):
        own = found[name]["own"]
        # An embedding of one number has cosine 1, and 0 once the number is 0.
        np.testing.assert_allclose([own.similarity, own.top], 1, rtol=1e-6)
        # Each of five draws blanks one of six cells.
        assert own.random.mean() == pytest.approx(1 / 6, abs=0.05)
    whole = found["all"]["whole"]
    embeddings = model.embed(images, 1)
    before = cosines(embeddings, embeddings[::-1])
    np.testing.assert_allclose(whole.similarity, before)
    # The second head's CAM is the higher one, so the sum blanks its cell.
    left = cosines(embeddings * [[1, 0]], embeddings[::-1])
    np.testing.assert_allclose(whole.top, before - left)
    np.testing.assert_array_equal(found["stage2"]["whole"].top, whole.top)


def test_pairs_are_the_nearest_across_cameras() -> None:
    query = Embeddings(np.array([[0.0], [10], [20]]), np.array([1, 2, 3]), np.array([1, 1, 1]))
    gallery = Embeddings(
        np.array([[0.1], [3], [1], [9], [12]]), np.array([1, 1, 0, 2, 2]), np.array([1, 2, 2, 3, 3])
    )
    pairs = nearest_pairs(query, gallery, 9, seed=0)
    assert {kind: [x.tolist() for x in some] for kind, some in pairs.items()} == {
        "match": [[0, 1], [1, 3]],
        "wrong": [[0, 1], [2, 1]],
    }
    assert len(nearest_pairs(query, gallery, 1, seed=0)["match"].queries) == 1
    with pytest.raises(UserError, match="no query has a match"):
        nearest_pairs(query.take(np.array([2])), gallery, 9, seed=0)
