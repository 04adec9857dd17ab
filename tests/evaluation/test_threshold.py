"""Thresholds against plain loops, and intervals against what became of them."""

import numpy as np
import pytest

from pmm_jax.errors import UserError
from pmm_jax.evaluation import threshold
from pmm_jax.evaluation.threshold import find_threshold, rates_at


def people(
    seed: int, identities: int = 30, cameras: int = 3, shots: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaussian people: a center each, and images around it."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(1, identities + 1), cameras * shots)
    cams = np.tile(np.repeat(np.arange(cameras), shots), identities)
    centers = rng.normal(size=(identities, 6))
    features = centers[ids - 1] + 0.4 * rng.normal(size=(len(ids), 6))
    return features.astype(np.float32), ids, cams


def all_pairs(
    features: np.ndarray, ids: np.ndarray, cams: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distance, whether of one identity, and both identities of each pair of two cameras."""
    one, other = np.triu_indices(len(ids), 1)
    two = (cams[one] != cams[other]) | (cams[one] < 0)
    one, other = one[two], other[two]
    difference = features[one].astype(float) - features[other].astype(float)
    same = ids[one] == ids[other]
    return np.sqrt((difference**2).sum(1)), same, ids[one], ids[other]


def test_threshold_and_rates_are_those_of_all_pairs() -> None:
    features, ids, cams = people(0)
    cams[::7] = -1  # unknown: like no other
    ids[:4] = (0, -1, 0, -1)  # nobody known
    known = ids > 0
    distance, same, _, _ = all_pairs(features[known], ids[known], cams[known])
    found = find_threshold(features, ids, cams, 0.02, seed=0)
    assert (found.pairs, found.same_pairs) == ((~same).sum(), same.sum())
    different = np.sort(distance[~same])
    assert found.threshold == pytest.approx(different[int(0.02 * len(different))], rel=1e-5)
    assert (different < found.threshold * (1 - 1e-5)).mean() <= 0.02
    assert found.missed_match_rate == pytest.approx((distance[same] >= found.threshold).mean())


def test_intervals_are_those_of_resampled_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "RESAMPLES", 60)
    monkeypatch.setattr(threshold, "STEPS", 100_000)  # every pair is a step
    features, ids, cams = people(1, identities=12)
    distance, same, one, other = all_pairs(features, ids, cams)
    weights = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), 60)
    thresholds, false, missed = [], [], []
    for draw, tried in zip(weights, np.roll(weights, 1, axis=0), strict=True):
        pair = draw[one - 1] * draw[other - 1] * ~same
        order = np.argsort(distance)
        below = np.cumsum(pair[order]) - pair[order]
        row = int(np.searchsorted(below / pair.sum(), 0.1))
        thresholds.append(distance[order][row])
        pair = tried[one - 1] * tried[other - 1] * ~same
        false.append(pair[distance < thresholds[-1]].sum() / pair.sum())
        own = tried[one - 1] * same
        missed.append(own[distance >= thresholds[-1]].sum() / own.sum())
    found = find_threshold(features, ids, cams, 0.1, seed=5)
    for interval, values in (
        (found.interval, thresholds),
        (found.false_match_interval, false),
        (found.missed_match_interval, missed),
    ):
        np.testing.assert_allclose(interval, np.quantile(values, (0.025, 0.975)), rtol=0.02)


def test_the_rate_on_other_people_lies_in_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "RESAMPLES", 300)
    monkeypatch.setattr(threshold, "STEPS", 40)
    inside = 0
    for seed in range(30):
        one, other = people(2 * seed + 100, 40), people(2 * seed + 101, 40)
        found = find_threshold(*one, 0.02, seed=0)
        distance, same, _, _ = all_pairs(*other)
        rate = (distance[~same] < found.threshold).mean()
        low, high = found.false_match_interval
        inside += low <= rate <= high
    # 95 % of 30; a binomial falls below 25 in 1 % of cases, and these seeds are fixed.
    assert 25 <= inside <= 30


def test_resamples_that_need_more_pairs_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    images = people(3, identities=12)
    wide = find_threshold(*images, 0.05, seed=0)
    monkeypatch.setattr(threshold, "REACH", 1.01)
    narrow = find_threshold(*images, 0.05, seed=0)
    np.testing.assert_allclose(narrow.interval, wide.interval, rtol=0.02)


def test_the_same_seed_gives_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    images = people(4)
    once = find_threshold(*images, 0.01, seed=0)
    monkeypatch.setattr(threshold, "BLOCK", 7)
    again = find_threshold(*images, 0.01, seed=0)
    np.testing.assert_allclose(np.hstack(again), np.hstack(once), rtol=1e-5)
    assert find_threshold(*images, 0.01, seed=1).interval != once.interval


@pytest.mark.parametrize(
    ("identities", "cameras", "rate", "message"),
    [
        (9, 3, 0.1, "9 identities are too few"),
        (30, 1, 0.1, "no identities were seen by two cameras"),
        (30, 3, 1e-5, "allows 0.1, and 10 are needed; choose 0.001"),
        (30, 3, 1.0, "must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    identities: int, cameras: int, rate: float, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_threshold(*people(5, identities, cameras), rate, seed=0)


def test_rates_of_a_threshold_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "BLOCK", 50)
    features, ids, cams = people(6)
    distance, same, _, _ = all_pairs(features, ids, cams)
    found = rates_at(features, ids, cams, 2.0, seed=0)
    assert found == ((distance[~same] < 2).mean(), (distance[same] >= 2).mean())


def test_of_too_many_pairs_some_identities_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "MOST_PAIRS", 75 * 75 // 2)
    images = people(7)
    found = find_threshold(*images, 0.02, seed=0)
    assert found.identities == 12  # of 30, with 6 images each
    assert find_threshold(*images, 0.02, seed=0) == found
    assert find_threshold(*images, 0.02, seed=1).threshold != found.threshold


def test_embeddings_far_from_0_and_far_apart_keep_their_distances() -> None:
    features, ids, cams = people(8)
    plain = find_threshold(features, ids, cams, 0.02, seed=0)
    moved = find_threshold(features.astype(np.float64) + 1e6, ids, cams, 0.02, seed=0)
    assert moved.threshold == pytest.approx(plain.threshold, rel=1e-5)
    scaled = find_threshold(features * np.float32(1e12), ids, cams, 0.02, seed=0)
    assert scaled.threshold == pytest.approx(1e12 * plain.threshold, rel=1e-5)


def test_what_is_no_embedding_is_refused() -> None:
    features, ids, cams = people(9)
    features[3, 2] = np.nan
    with pytest.raises(UserError, match="features holds nan in row 3"):
        find_threshold(features, ids, cams, 0.02, seed=0)
    with pytest.raises(UserError, match="identities has shape"):
        find_threshold(people(9)[0], ids[:-1], cams, 0.02, seed=0)
