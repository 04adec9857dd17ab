"""A calibration decides, warns, and comes back from JSON or is refused."""

import dataclasses
import json

import numpy as np
import pytest

from pmm_jax.calibration import Calibration, parse_calibration

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
    assert "cameras gate, hall" in lines[0]
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
        {"interval": ["1", 2.0]},
        {"interval": [{}, []]},
        {"threshold": float("nan")},
        {"threshold": 10**400},
        {"false_match_rate": 1.5},
        {"missed_match_interval": [0.5, 1.5]},
        {"cameras": 5},
        {"cameras": "12"},
        {"cameras": [1]},
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
