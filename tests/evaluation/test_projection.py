import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.projection import sample_for_map, tsne


def images(identities: list[int], cameras: list[int], paths: str = "") -> Embeddings:
    count = len(identities)
    names = np.array([f"{paths}{i}" for i in range(count)]) if paths else None
    return Embeddings(
        np.eye(count, 9, dtype=np.float32), np.array(identities), np.array(cameras), names
    )


def test_identities_of_most_cameras_then_images_are_chosen() -> None:
    query = images([5, 4, 3, 2, -1], [1, 1, 1, 1, 1])
    # 2 has most images of one camera; 3 and 4 have two cameras, and 4 more images.
    gallery = images([2, 2, 2, 2, 3, 4, 4, 5, 0, 0, 0, 0], [1, 1, 1, 1, 2, 2, 2, 1, 1, 2, 3, 4])
    sample = sample_for_map(query, gallery, identities=2)
    assert sample.identities == 4
    assert sample.images.identities.tolist() == [3, 3, 4, 4, 4]
    assert sample.is_query.tolist() == [True, False, True, False, False]
    np.testing.assert_array_equal(sample.images.features[3:], gallery.features[5:7])
    three = sample_for_map(query, gallery, identities=3)
    assert set(three.images.identities) == {2, 3, 4}


def test_of_many_images_every_camera_has_its_share() -> None:
    query = images([1, 2], [0, 0])
    gallery = images([1] * 60 + [2] * 3, [c % 3 for c in range(60)] + [1, 2, 2])
    sample = sample_for_map(query, gallery, most=20)
    assert np.bincount(sample.images.identities).tolist() == [0, 10, 4]
    mine = sample.images.identities == 1
    assert sample.is_query[mine].tolist() == [True] + [False] * 9
    assert np.bincount(sample.images.cameras[mine]).tolist() == [4, 3, 3]


def test_an_image_of_both_sets_is_on_the_map_once() -> None:
    both = images([1, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 2], "a")
    sample = sample_for_map(both, both)
    assert sample.images.paths is not None
    assert sorted(sample.images.paths) == [f"a{i}" for i in range(6)]
    assert sample.is_query.all()


@pytest.mark.parametrize("identities", [[1] * 6, [1, 2, 2, 2]])
def test_too_little_is_refused(identities: list[int]) -> None:
    query, gallery = images([1, identities[1]], [0, 0]), images(identities[2:], [1] * 4)
    if len(identities) == 4:
        gallery = gallery.take(np.arange(2))
    with pytest.raises(UserError, match="2 identities and 5 images"):
        sample_for_map(query, gallery)


def test_neighbors_stay_neighbors_and_one_seed_gives_one_map() -> None:
    rng = np.random.default_rng(0)
    identities = np.arange(60) % 6
    centers = rng.standard_normal((6, 80))
    features = (centers[identities] + 0.3 * rng.standard_normal((60, 80))).astype(np.float32)
    places = tsne(features, 0)
    assert places.shape == (60, 2)
    assert places.min() == 0
    assert places.max() == 1
    distances = np.square(places[:, None] - places).sum(-1) + 9 * np.eye(60)
    np.testing.assert_array_equal(identities[distances.argmin(1)], identities)
    np.testing.assert_array_equal(tsne(features, 0), places)


def test_five_images_are_enough() -> None:
    places = tsne(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32), 0)
    assert np.isfinite(places).all()


def test_one_embedding_for_all_is_no_map() -> None:
    with pytest.raises(UserError, match="same embedding"):
        tsne(np.ones((10, 4), np.float32), 0)
