"""Thresholds against plain loops, and intervals against what became of them."""

import dataclasses
import json

import numpy as np
import pytest

from pmm_jax import calibration
from pmm_jax.calibration import Calibration, calibrate, parse_calibration
from pmm_jax.errors import UserError


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
    found = calibrate(features, ids, cams, 0.02, seed=0)
    assert (found.pairs, found.same_pairs) == ((~same).sum(), same.sum())
    different = np.sort(distance[~same])
    assert found.threshold == pytest.approx(different[int(0.02 * len(different))], rel=1e-5)
    assert (different < found.threshold * (1 - 1e-5)).mean() <= 0.02
    assert found.missed_match_rate == pytest.approx((distance[same] >= found.threshold).mean())


def test_intervals_are_those_of_resampled_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "RESAMPLES", 60)
    monkeypatch.setattr(calibration, "STEPS", 100_000)  # every pair is a step
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
    found = calibrate(features, ids, cams, 0.1, seed=5)
    for interval, values in (
        (found.interval, thresholds),
        (found.false_match_interval, false),
        (found.missed_match_interval, missed),
    ):
        np.testing.assert_allclose(interval, np.quantile(values, (0.025, 0.975)), rtol=0.02)


def test_the_rate_on_other_people_lies_in_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "RESAMPLES", 300)
    monkeypatch.setattr(calibration, "STEPS", 40)
    inside = 0
    for seed in range(30):
        one, other = people(2 * seed + 100, 40), people(2 * seed + 101, 40)
        found = calibrate(*one, 0.02, seed=0)
        distance, same, _, _ = all_pairs(*other)
        rate = (distance[~same] < found.threshold).mean()
        low, high = found.false_match_interval
        inside += low <= rate <= high
    # 95 % of 30; a binomial falls below 25 in 1 % of cases, and these seeds are fixed.
    assert 25 <= inside <= 30


def test_resamples_that_need_more_pairs_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    images = people(3, identities=12)
    wide = calibrate(*images, 0.05, seed=0)
    monkeypatch.setattr(calibration, "REACH", 1.01)
    narrow = calibrate(*images, 0.05, seed=0)
    np.testing.assert_allclose(narrow.interval, wide.interval, rtol=0.02)


def test_the_same_seed_gives_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    images = people(4)
    once = calibrate(*images, 0.01, seed=0)
    monkeypatch.setattr(calibration, "BLOCK", 7)
    again = calibrate(*images, 0.01, seed=0)
    np.testing.assert_allclose(np.hstack(again), np.hstack(once), rtol=1e-5)
    assert calibrate(*images, 0.01, seed=1).interval != once.interval


@pytest.mark.parametrize(
    ("identities", "cameras", "rate", "message"),
    [
        (9, 3, 0.1, "9 identities are too few"),
        (30, 1, 0.1, "no identity was seen by two cameras"),
        (30, 3, 1e-5, "allows 0.1; choose 0.0"),
        (30, 3, 1.0, "must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    identities: int, cameras: int, rate: float, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        calibrate(*people(5, identities, cameras), rate, seed=0)


MADE = Calibration(
    threshold=2.0,
    interval=(1.5, 2.5),
    false_match_rate=0.001,
    false_match_interval=(0.0005, 0.002),
    missed_match_rate=0.3,
    missed_match_interval=(0.2, 0.4),
    distance="cosine",
    identities=100,
    pairs=10_000,
    same_pairs=500,
    cameras=("1", "roof"),
    data="market1501",
    data_fingerprint="d" * 64,
    model="f" * 64,
    seed=0,
)


def test_decisions() -> None:
    found = MADE.decide(np.array([[1.49, 1.5, 2.0], [2.5, 2.51, np.inf]]))
    assert found.tolist() == [["same", "unsure", "unsure"], ["unsure", "different", "different"]]


def test_other_cameras_and_data_are_warned_of() -> None:
    assert MADE.warnings(["1", "roof"], "d" * 64) == []
    lines = MADE.warnings(["1", "gate", "hall"], "e" * 64)
    assert "camera gate, hall" in lines[0]
    assert "another data set (market1501)" in lines[1]
    assert dataclasses.replace(MADE, cameras=()).warnings(["gate"]) == []


def test_json_round_trip() -> None:
    assert parse_calibration(json.loads(json.dumps(MADE.as_json()))) == MADE


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": -1.0},
        {"threshold": "2"},
        {"threshold": float("inf")},
        {"interval": [3.0, 2.0]},
        {"interval": [1.0]},
        {"pairs": 1.5},
        {"seed": True},
        {"distance": "manhattan"},
        {"cameras": ["a\nb"]},
        {"data": 5},
        {"data_fingerprint": "x" * 5000},
        {"other": 1},
    ],
)
def test_another_value_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"its |it holds"):
        parse_calibration(MADE.as_json() | change)
