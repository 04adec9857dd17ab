import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, evaluate_distances
from pmm_jax.evaluation.camera_pairs import camera_pairs


def test_each_pair_is_ranked_alone() -> None:
    rng = np.random.default_rng(0)
    query, gallery = (
        Embeddings(
            rng.standard_normal((count, 8)).astype(np.float32),
            rng.integers(0, 5, count),
            rng.integers(1, 4, count),
        )
        for count in (40, 90)
    )
    table = camera_pairs(query, gallery)
    assert table.query_cameras.tolist() == table.gallery_cameras.tolist() == [1, 2, 3]
    for row, own in enumerate(table.query_cameras):
        for column, other in enumerate(table.gallery_cameras):
            if own == other:
                assert table.queries[row, column] == 0
                assert np.isnan(table.mAP[row, column])
                continue
            a, b = query.cameras == own, gallery.cameras == other
            difference = query.features[a][:, None] - gallery.features[b].astype(np.float64)
            expected = evaluate_distances(
                np.square(difference).sum(-1),
                query.identities[a],
                gallery.identities[b],
                query.cameras[a],
                gallery.cameras[b],
            )
            assert table.queries[row, column] == expected.evaluated
            assert table.rank1[row, column] == pytest.approx(expected.rank1)
            assert table.mAP[row, column] == pytest.approx(expected.mAP)


def test_one_camera_is_refused() -> None:
    images = Embeddings(np.ones((4, 2), np.float32), np.array([1, 1, 2, 2]), np.zeros(4, int))
    with pytest.raises(UserError, match="same-camera rule removed"):
        camera_pairs(images, images)
