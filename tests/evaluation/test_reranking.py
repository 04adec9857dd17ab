import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.errors import UserError
from pmm_jax.evaluation import evaluate_distances, reranking
from pmm_jax.evaluation.reranking import reranked_rows


def naive(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    """The paper's equations, set by set, with full matrices."""
    features = np.concatenate([query, gallery])
    count = len(features)
    original = cdist(features, features, "sqeuclidean")
    original /= original.max(1, keepdims=True)
    order = np.argsort(original, axis=1, kind="stable")

    def mutual(i: int, k: int) -> set[int]:
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    vectors = np.zeros((count, count))
    for i in range(count):
        members = mutual(i, k1)
        for j in mutual(i, k1):
            theirs = mutual(j, int(np.around(k1 / 2)))
            if len(theirs & mutual(i, k1)) > 2 / 3 * len(theirs):
                members |= theirs
        for j in members:
            vectors[i, j] = np.exp(-original[i, j])
        vectors[i] /= vectors[i].sum()
    vectors = np.stack([vectors[order[i, :k2]].mean(0) for i in range(count)])
    result = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            one, other = vectors[i], vectors[len(query) + j]
            jaccard = 1 - np.minimum(one, other).sum() / np.maximum(one, other).sum()
            result[i, j] = (1 - weight) * jaccard + weight * original[i, len(query) + j]
    return result


def people(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    identities = rng.integers(0, 8, count)
    centers = np.random.default_rng(9).standard_normal((8, 16))
    features = centers[identities] + 0.8 * rng.standard_normal((count, 16))
    return features.astype(np.float32), identities, rng.integers(0, 3, count)


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(8, 3, 0.3), (9, 1, 0.3), (20, 6, 0.0), (3, 3, 1.0), (1, 1, 0.5)]
)
def test_equals_the_full_matrices(
    k1: int, k2: int, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reranking, "ROWS", 17)
    monkeypatch.setattr(reranking, "VALUES", 300)
    query, gallery = people(0, 20)[0], people(1, 70)[0]
    found = np.stack([row.copy() for row in reranked_rows(query, gallery, k1, k2, weight)])
    np.testing.assert_allclose(found, naive(query, gallery, k1, k2, weight), atol=2e-6)


@pytest.mark.parametrize("kind", ["far from 0", "one long row", "clusters far apart"])
def test_equals_the_full_matrices_where_float32_would_not(kind: str) -> None:
    query, gallery = (
        np.round(people(seed, n)[0].astype(float), 4) for seed, n in ((0, 20), (1, 70))
    )
    if kind == "far from 0":
        query, gallery = 1e6 + query, 1e6 + gallery
    elif kind == "one long row":
        gallery[30] *= 1e7
    else:
        query[::2], gallery[::2] = query[::2] + 1e5, gallery[::2] + 1e5
    found = np.stack([row.copy() for row in reranked_rows(query, gallery, 8, 3)])
    np.testing.assert_allclose(found, naive(query, gallery, 8, 3, 0.3), atol=2e-6)


def test_it_helps_and_the_metrics_are_those_of_the_full_matrices() -> None:
    (query, *query_labels), (gallery, *gallery_labels) = people(2, 60), people(3, 200)
    labels = query_labels[0], gallery_labels[0], query_labels[1], gallery_labels[1]
    rows = np.stack([row.copy() for row in reranked_rows(query, gallery, 15, 4, 0.3)])
    ours = evaluate_distances(rows, *labels)
    full = evaluate_distances(naive(query, gallery, 15, 4, 0.3), *labels)
    assert ours.mAP == pytest.approx(full.mAP, abs=1e-4)
    assert ours.mAP > evaluate_distances(cdist(query, gallery), *labels).mAP + 0.02


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_unit_of_the_embeddings_does_not_matter(scale: float) -> None:
    query, gallery = people(0, 20)[0], people(1, 70)[0]
    factor = np.float32(scale)
    plain, scaled = (
        np.stack([row.copy() for row in reranked_rows(sets[0], sets[1], 8, 3)])
        for sets in ((query, gallery), (query * factor, gallery * factor))
    )
    np.testing.assert_allclose(scaled, plain, atol=1e-4)


def test_images_that_are_all_one_point_have_finite_distances() -> None:
    same = np.ones((9, 4), np.float32)
    rows = np.stack([row.copy() for row in reranked_rows(same[:3], same, 5, 2)])
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(("k1", "k2"), [(90, 6), (5, 6), (5, 0)])
def test_neighbors_that_do_not_fit_are_refused(k1: int, k2: int) -> None:
    query, gallery = people(0, 20)[0], people(1, 70)[0]
    with pytest.raises(UserError, match="needs 1 <= k2 <= k1 < 90"):
        next(reranked_rows(query, gallery, k1, k2))


def test_a_weight_outside_0_to_1_is_refused() -> None:
    query, gallery = people(0, 20)[0], people(1, 70)[0]
    with pytest.raises(UserError, match=r"is 1\.5; it must be 0 to 1"):
        next(reranked_rows(query, gallery, weight=1.5))
