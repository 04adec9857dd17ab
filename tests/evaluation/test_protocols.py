from dataclasses import replace

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, evaluate_distances, evaluate_embeddings
from pmm_jax.evaluation.protocols import (
    evaluate_single_shot,
    multi_query,
    without_cameras,
)


def people(seed: int, count: int, cameras: int = 2, least: int = 1) -> Embeddings:
    rng = np.random.default_rng(seed)
    identities = rng.integers(least, 9, count)
    centers = np.random.default_rng(5).standard_normal((9, 16))
    features = centers[identities] + rng.standard_normal((count, 16))
    return Embeddings(features.astype(np.float32), identities, rng.integers(0, cameras, count))


def squares(query: Embeddings, gallery: Embeddings) -> np.ndarray:
    difference = query.features[:, None].astype(np.float64) - gallery.features[None]
    return (difference**2).sum(-1)


def test_without_cameras_nothing_is_removed() -> None:
    query, gallery = people(0, 20), people(1, 60)
    expected = evaluate_distances(
        squares(query, gallery), query.identities, gallery.identities, [0] * 20, [1] * 60
    )
    found = evaluate_embeddings(*without_cameras(query, gallery))
    np.testing.assert_array_equal(found.average_precision, expected.average_precision)
    assert found.mAP != evaluate_embeddings(query, gallery).mAP


def test_one_set_without_cameras_removes_the_image_itself_alone() -> None:
    images = people(0, 50)
    found = evaluate_embeddings(*without_cameras(images, images))
    matrix = squares(images, images)
    for i in range(50):
        others = np.delete(np.arange(50), i)
        if not (images.identities[others] == images.identities[i]).any():
            continue
        one = evaluate_distances(
            matrix[i : i + 1, others], images.identities[i : i + 1], images.identities[others],
            [0], [1] * 49,
        )  # fmt: skip
        assert found.average_precision[i] == pytest.approx(one.mAP)


def test_multi_query_pools_by_identity_and_camera() -> None:
    features = np.array([[0, 4], [10, 0], [2, 2], [4, 0]], np.float32)
    query = Embeddings(features, np.array([7, 3, 7, 7]), np.array([1, 1, 1, 2]))
    gallery = people(1, 5)
    mean, largest = multi_query(query, gallery, "average"), multi_query(query, gallery, "max")
    assert mean.identities.tolist() == largest.identities.tolist() == [3, 7, 7]
    assert mean.cameras.tolist() == [1, 1, 2]
    assert mean.features.tolist() == [[10, 0], [1, 3], [4, 0]]
    assert largest.features.tolist() == [[10, 0], [2, 4], [4, 0]]


def test_multi_query_of_unknown_cameras_pools_by_identity() -> None:
    query, gallery = without_cameras(people(0, 30), people(1, 60))
    pooled = multi_query(query, gallery, "average")
    assert pooled.identities.tolist() == sorted(set(query.identities.tolist()))
    assert not np.isin(pooled.cameras, gallery.cameras).any()
    with pytest.raises(UserError, match="find themselves"):
        multi_query(query, query, "average")


def test_one_path_is_one_image_in_query_and_gallery() -> None:
    images = people(0, 30)
    images = replace(images, paths=np.array([f"{i}.jpg" for i in range(30)]))
    query, gallery = without_cameras(images.take(np.arange(9)), images.take(np.arange(3, 30)))
    is_one = query.cameras[:, None] == gallery.cameras
    assert np.argwhere(is_one).tolist() == [[i, i - 3] for i in range(3, 9)]


@pytest.mark.parametrize(
    "cameras", [np.full(30, -1), np.full(30, 7), np.arange(30) % 3 - 2, -1 - np.arange(30)]
)
def test_without_cameras_their_numbers_count_for_nothing(cameras: np.ndarray) -> None:
    query, gallery = people(0, 30), people(1, 30)
    expected = evaluate_embeddings(*without_cameras(query, gallery))
    found = evaluate_embeddings(
        *without_cameras(replace(query, cameras=cameras), replace(gallery, cameras=cameras))
    )
    np.testing.assert_array_equal(found.average_precision, expected.average_precision)


def test_single_shot_samples_identity_0_if_it_is_a_query() -> None:
    query, gallery = people(0, 40, least=0), people(1, 90, least=0)
    found = evaluate_single_shot(query, gallery, 20, seed=0)
    counted = query.identities == 0
    assert counted.any()
    # One match in each repeat: its precision is one over its rank, and no rank exceeds the people.
    assert np.nanmax(found.first_match[counted]) <= 9
    assert found.mINP == found.mAP


def test_single_shot_of_single_images_is_the_plain_ranking() -> None:
    query = people(0, 30, cameras=1)
    gallery = Embeddings(
        np.random.default_rng(1).standard_normal((8, 16)).astype(np.float32),
        np.arange(1, 9),
        np.ones(8, int),
    )
    plain, sampled = (
        evaluate_embeddings(query, gallery),
        evaluate_single_shot(query, gallery, 3, seed=0),
    )
    np.testing.assert_allclose(sampled.cmc, plain.cmc)
    assert sampled.mAP == pytest.approx(plain.mAP)
    assert sampled.mAP_at_50 == pytest.approx(plain.mAP_at_50)
    np.testing.assert_array_equal(sampled.first_match, plain.first_match)


def test_single_shot_samples_one_image_of_each_identity_from_the_other_cameras() -> None:
    query, gallery = people(0, 40, cameras=3), people(1, 90, cameras=3, least=0)
    num_repeats = 150
    found = evaluate_single_shot(query, gallery, num_repeats, seed=1)
    matrix = squares(query, gallery)
    rng = np.random.default_rng(2)
    for q in range(3):
        hits = []
        for _ in range(num_repeats):
            others = np.flatnonzero(gallery.cameras != query.cameras[q])
            kept = [
                rng.choice(others[gallery.identities[others] == i])
                for i in np.unique(gallery.identities[others])
                if i > 0
            ]
            kept += others[gallery.identities[others] == 0].tolist()
            best = kept[int(np.argmin(matrix[q, kept]))]
            hits.append(gallery.identities[best] == query.identities[q])
        ours = [
            evaluate_single_shot(
                Embeddings(
                    query.features[[q]], query.identities[[q]], query.cameras[[q]]
                ), gallery, num_repeats, seed=3,
            ).rank1
        ]  # fmt: skip
        # Two binomial fractions of the repeats.
        assert abs(np.mean(hits) - ours[0]) < 5 * np.sqrt(2 * 0.25 / num_repeats)
    assert found.evaluated == 40
    assert found.cmc[-1] == 1


def test_single_shot_is_a_function_of_its_seed() -> None:
    query, gallery = people(0, 40), people(1, 90)
    one, same, other = (evaluate_single_shot(query, gallery, 3, seed).mAP for seed in (1, 1, 2))
    assert one == same != other


def test_single_shot_refusals() -> None:
    query, gallery = people(0, 5), people(1, 20)
    with pytest.raises(UserError, match="single_shot is 0"):
        evaluate_single_shot(query, gallery, 0, 0)
    alone = Embeddings(query.features, query.identities + 100, query.cameras)
    with pytest.raises(UserError, match="no query has a match"):
        evaluate_single_shot(alone, gallery, 2, 0)
