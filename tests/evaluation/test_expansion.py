import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import expansion
from pmm_jax.evaluation.expansion import augment_gallery, expand_queries, unit_length


def unit(seed: int, count: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, 12)).astype(np.float32)
    return unit_length("query", values)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_expansion_by_hand(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "ROWS", 4)
    query, gallery = unit(0, 6), unit(1, 30)
    for one, result in zip(query, expand_queries(query, gallery, 5, alpha), strict=True):
        similarity = gallery @ one
        nearest = np.argsort(-similarity)[:5]
        assert (similarity[nearest] > 0).all()
        total = one + (similarity[nearest, None] ** alpha * gallery[nearest]).sum(0)
        np.testing.assert_allclose(result, total / np.linalg.norm(total), atol=1e-5)


def test_augmentation_is_expansion_of_the_gallery_without_itself_twice() -> None:
    gallery = unit(1, 30)
    for i, result in enumerate(augment_gallery(gallery, 4, 2.0)):
        others = np.delete(gallery, i, axis=0)
        expected = expand_queries(gallery[i : i + 1], others, 4, 2.0)[0]
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e36])
def test_very_long_and_very_short_embeddings_have_a_direction(scale: float) -> None:
    features = np.array([[3 * scale, 4 * scale]], np.float32)
    np.testing.assert_allclose(unit_length("query", features), [[0.6, 0.8]], rtol=1e-2)


def test_what_cannot_be_done_is_refused() -> None:
    gallery = unit(1, 5)
    with pytest.raises(UserError, match="6 neighbors of an image are wanted among 5"):
        expand_queries(gallery, gallery, 6, 3.0)
    with pytest.raises(UserError, match="all 0 in row 2"):
        unit_length("query", np.array([[1, 0], [0, 1], [0, 0]], np.float32))


def test_directions_that_float32_would_not_tell_apart() -> None:
    rng = np.random.default_rng(0)
    features = np.ones((40, 12)) + 1e-9 * rng.standard_normal((40, 12))
    gallery = unit_length("gallery", features)
    assert len(np.unique(gallery.astype(np.float32), axis=0)) < 40
    assert len(np.unique(gallery, axis=0)) == 40
    query = unit_length("query", features[:5])
    distances = np.square(query[:, None] - gallery).sum(-1)
    near = np.argsort(distances, axis=1)[:, :4]
    # Every similarity is 1 to 1e-17, so the expansion is a plain mean.
    total = query + gallery[near].sum(1)
    expected = total / np.linalg.norm(total, axis=1)[:, None]
    found = expand_queries(query, gallery, 4, 3.0)
    spread = np.abs(gallery - gallery.mean(0)).max()
    assert np.abs(found - expected).max() < 1e-4 * spread
