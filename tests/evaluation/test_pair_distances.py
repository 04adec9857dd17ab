import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pmm_jax.evaluation import Embeddings, roc
from pmm_jax.evaluation.embeddings import validated_stream
from pmm_jax.evaluation.pair_distances import PairDistances, pair_distances
from pmm_jax.evaluation.pair_histograms import BINS, PairHistograms, point_intervals
from pmm_jax.evaluation.verification import operating_points
from tests.evaluation.people import people

Pairs = dict[int, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def both() -> tuple[Embeddings, Embeddings]:
    return people(0, 90, 12, 32, 1.2, 40), people(1, 400, 12, 32, 1.2, 40)


@pytest.fixture(scope="module")
def found(both: tuple[Embeddings, Embeddings]) -> PairDistances:
    return pair_distances(*both, 512, 0)


def pairs_of(query: Embeddings, gallery: Embeddings) -> Pairs:
    """Distances of matches and of others, by the identity of the query."""
    distances = cdist(query.features, gallery.features)
    same = query.identities[:, None] == gallery.identities
    match = same & (query.cameras[:, None] != gallery.cameras) & (query.identities >= 0)[:, None]
    other = ~same & (gallery.identities >= 0) & match.any(1)[:, None]
    return {
        int(identity): (distances[mine][match[mine]], distances[mine][other[mine]])
        for identity in np.unique(query.identities[match.any(1)])
        for mine in [query.identities == identity]
    }


def test_histograms_count_every_pair_of_every_identity(
    both: tuple[Embeddings, Embeddings], found: PairDistances
) -> None:
    of = found.histograms
    edges = np.arange(BINS + 1) * of.width
    for row, own in enumerate(pairs_of(*both).values()):
        for counts, distances in zip((of.same[row], of.different[row]), own, strict=True):
            # A distance on an edge may fall to either side.
            expected = np.searchsorted(np.sort(distances), edges[1:])
            assert counts.sum() == len(distances)
            assert np.abs(np.cumsum(counts) - expected).max() <= 1
    assert row + 1 == len(of.same) == 12
    assert found.queries == found.all_queries == sum(both[0].identities >= 0)


def test_rates_are_those_of_eval(both: tuple[Embeddings, Embeddings], found: PairDistances) -> None:
    assert {p.rate: p.true_positive_rate for p in found.points} == roc(*both)


def test_a_rate_that_allows_few_pairs_has_no_interval(found: PairDistances) -> None:
    assert [point.rate for point in found.points] == [1e-2, 1e-3, 1e-4]
    assert [point.allowed >= 10 for point in found.points] == [True, True, False]
    assert [interval is None for interval in found.intervals] == [False, False, True]


def test_ten_allowed_pairs_are_enough_for_an_interval() -> None:
    ids = np.repeat([1, 2, 3], [1, 1, 499])
    query = Embeddings(np.eye(2, 4, dtype=np.float32), np.array([1, 2]), np.zeros(2, int))
    features = np.random.default_rng(0).random((len(ids), 4), np.float32)
    found = pair_distances(query, Embeddings(features, ids, np.ones(len(ids), int)), 512, 0)
    assert [point.allowed for point in found.points] == [10, 1, 0]
    assert [interval is None for interval in found.intervals] == [False, True, True]


def test_intervals_are_those_of_sorted_pairs(
    both: tuple[Embeddings, Embeddings], found: PairDistances
) -> None:
    own, rng = list(pairs_of(*both).values()), np.random.default_rng(7)
    sampled = []
    for weights in rng.multinomial(12, np.full(12, 1 / 12), 200):
        same, different = (
            np.concatenate([np.tile(pairs[kind], w) for pairs, w in zip(own, weights, strict=True)])
            for kind in (0, 1)
        )
        threshold = np.sort(different)[int(1e-2 * len(different))]
        sampled.append((threshold, np.mean(same < threshold)))
    low, high = np.quantile(sampled, (0.025, 0.975), axis=0)
    (interval,) = point_intervals(found.histograms, [1e-2], seed=7, n_resamples=200)
    width = found.histograms.width
    assert interval.threshold == pytest.approx((low[0], high[0]), abs=width)
    # No bin holds more than a few of the matches.
    near = found.histograms.same.sum(0).max() / found.histograms.same.sum()
    assert interval.true_positive_rate == pytest.approx((low[1], high[1]), abs=2 * near)
    assert low[1] < found.points[0].true_positive_rate < high[1]
    assert 2 * near < (high[1] - low[1]) / 4


def test_of_too_many_pairs_some_identities_are_taken_whole(
    both: tuple[Embeddings, Embeddings],
) -> None:
    kept = int(sum(both[1].identities >= 0))
    some = pair_distances(*both, 512, 3, most_pairs=40 * kept)
    again = pair_distances(*both, 512, 3, most_pairs=40 * kept)
    assert 20 < some.queries <= 40 < some.all_queries
    np.testing.assert_array_equal(some.histograms.same, again.histograms.same)
    sizes = {int(sum(both[0].identities == identity)) for identity in range(12)}
    one = pair_distances(*both, 512, 3, most_pairs=1)
    assert one.queries in sizes
    assert len(one.histograms.same) == 1
    assert one.intervals == [None, None, None]


def test_images_that_are_equal_have_no_distance() -> None:
    features = np.full((8, 3), 0.1, np.float32)
    query = Embeddings(features, np.arange(8) % 2, np.zeros(8, int))
    gallery = Embeddings(features, np.arange(8) % 2, np.ones(8, int))
    protocol, stream = validated_stream(query, gallery, 512)
    histograms = PairHistograms(protocol, stream)
    operating_points(protocol, stream, histograms=histograms)
    for counts in (histograms.same, histograms.different):
        assert counts[:, 0].sum() == counts.sum() == 32
