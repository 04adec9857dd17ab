import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.evaluation import Embeddings, roc, streaming, verification
from pmm_jax.evaluation import embeddings as module
from tests.evaluation.people import people


@pytest.mark.parametrize(("query_block", "block"), [(7, 16), (512, 2048)])
def test_equals_sorting_all_pairs(
    query_block: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "GALLERY_BLOCK", block)
    query, gallery = people(0, 90, 12, 32, 1.2, 40), people(1, 400, 12, 32, 1.2, 40)
    found = roc(query, gallery, query_block)
    distances = cdist(query.features, gallery.features)
    same = query.identities[:, None] == gallery.identities
    match = same & (query.cameras[:, None] != gallery.cameras) & (query.identities >= 0)[:, None]
    other = ~same & (gallery.identities >= 0) & match.any(1)[:, None]
    negatives, positives = np.sort(distances[other]), distances[match]
    assert list(found) == [1e-4, 1e-3, 1e-2]
    for rate, value in found.items():
        threshold = negatives[int(rate * len(negatives))]
        assert value == pytest.approx(np.mean(positives < threshold), abs=2 / len(positives))
    assert 0 < found[1e-4] < found[1e-2] < 1


def test_perfect_embeddings_accept_every_match() -> None:
    identities = np.arange(20) % 5
    features = 10 * np.eye(5, dtype=np.float32)[identities]
    query = Embeddings(features, identities, np.zeros(20, int))
    gallery = Embeddings(features, identities, np.ones(20, int))
    assert set(module.roc(query, gallery).values()) == {1.0}


def line(seed: int) -> tuple[Embeddings, Embeddings]:
    """One query at 0 and images on a line: every distance is known, no two are equal."""
    rng = np.random.default_rng(seed)
    ids = np.repeat([1, 2], [300, 20_000])
    query = Embeddings(np.zeros((1, 1), np.float32), np.array([1]), np.array([0]))
    places = np.concatenate([rng.permutation(300) + 0.5, rng.permutation(20_000)])
    return query, Embeddings(places[:, None].astype(np.float32), ids, np.ones(len(ids), int))


@pytest.mark.parametrize("seed", range(3))
def test_no_more_than_the_rate_of_false_pairs_is_accepted(seed: int) -> None:
    query, gallery = line(seed)
    places = gallery.features[:, 0]
    false, true = np.sort(places[gallery.identities == 2]), places[gallery.identities == 1]
    found = roc(query, gallery)
    for rate, accepted in ((1e-4, 2), (1e-3, 20), (1e-2, 200)):
        assert found[rate] == np.mean(true < false[accepted])
        # One false pair more would have let in another figure, or less.
    assert found[1e-2] > found[1e-3] > 0


def test_a_match_between_two_false_pairs_counts_from_the_rate_of_both_on() -> None:
    count = 10_000
    places = np.arange(count + 3, dtype=np.float32)[:, None]
    ids = np.full(count + 3, 2)
    ids[[1, 11, 101]] = 1  # behind 1, 10 and 99 false pairs
    query = Embeddings(np.zeros((1, 1), np.float32), np.array([1]), np.array([0]))
    found = roc(query, Embeddings(places, ids, np.ones(count + 3, int)))
    assert found == {1e-4: 1 / 3, 1e-3: 2 / 3, 1e-2: 1.0}


@pytest.mark.parametrize("far", [0.0, 1e9])
def test_rates_are_those_of_float64(far: float) -> None:
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 6, 400)
    features = rng.standard_normal((6, 8))[ids] + rng.standard_normal((400, 8))
    halves = [slice(100), slice(100, None)]
    found = []
    for moved in (np.round(features, 3), far + np.round(features, 3)):
        query, gallery = (
            Embeddings(moved[s], ids[s], np.full(len(ids[s]), s.start or 0)) for s in halves
        )
        found.append(roc(query, gallery))
    assert found[1] == pytest.approx(found[0], abs=2e-4)


def test_a_match_as_far_as_the_first_refused_pair_is_refused_too() -> None:
    count = 10_000
    places = np.append(np.arange(1, count + 1, dtype=np.float32), np.float32(2))[:, None]
    query = Embeddings(np.zeros((1, 1), np.float32), np.array([1]), np.array([0]))
    ids = np.append(np.full(count, 2), 1)
    found = roc(query, Embeddings(places, ids, np.ones(count + 1, int)))
    # One false pair of 10,000 may be accepted; with the match at 2 a second one would be.
    assert found == {1e-4: 0.0, 1e-3: 1.0, 1e-2: 1.0}


def test_many_matches_are_compared_twice_to_the_same_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    both = people(0, 90, 12, 32, 1.2), people(1, 400, 12, 32, 1.2)
    held = roc(*both)
    monkeypatch.setattr(verification, "MATCHES", 0)
    assert roc(*both) == held


def test_the_threshold_is_the_distance_of_the_first_false_pair_that_is_refused() -> None:
    query, gallery = line(0)
    points = verification.operating_points(*module.validated_stream(query, gallery, 512))
    places = np.sort(gallery.features[gallery.identities == 2, 0])
    assert [point.allowed for point in points] == [2, 20, 200]
    assert [point.threshold for point in points] == [places[i] ** 2 for i in (2, 20, 200)]
