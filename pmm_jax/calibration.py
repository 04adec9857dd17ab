"""A distance below which two images count as one person, and what is known of it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from pmm_jax.files import printable


@dataclass(frozen=True)
class Calibration:
    """A threshold of a model, and what is known of it. Distances are Euclidean, not squared.

    Example:
        >>> from pathlib import Path
        >>> from pmm_jax.embedding_table import read_table
        >>> from pmm_jax.search.calibrate import calibrate_model, labeled_table
        >>> images = labeled_table(read_table(Path("people.npz")), "people")
        >>> calibration = calibrate_model(model, images, false_match_rate=0.02, seed=0)
        >>> calibration.decide(np.array([0.5, calibration.threshold, 20.0])).tolist()
        ['same', 'unsure', 'different']
        >>> calibration.warnings(cameras=["1", "roof"])
        ['the threshold was not calibrated on camera roof, where it may accept more or fewer']
        >>> calibration.as_json()["pairs"]
        1584
    """

    threshold: float
    """Pairs of images below it are accepted."""
    interval: tuple[float, float]
    """95 %: where the threshold lies when other identities are calibrated on."""
    false_match_rate: float
    """That was chosen: the fraction of pairs of different identities that is accepted."""
    false_match_interval: tuple[float, float]
    """95 %: the rate to expect at the threshold on as many other identities."""
    missed_match_rate: float
    """Fraction of pairs of one identity that isn't accepted."""
    missed_match_interval: tuple[float, float]
    """95 %, likewise."""
    distance: str
    """`euclidean` of the embeddings as they are, or `cosine`: of unit length."""
    identities: int
    """That were calibrated on."""
    pairs: int
    """Of different identities."""
    same_pairs: int
    """Of one identity."""
    cameras: tuple[str, ...]
    """By name, sorted; empty where they are unknown."""
    data: str
    """Name of the data set."""
    data_fingerprint: str | None
    """Of the data set, where it is known."""
    model: str
    """`Model.fingerprint`."""
    seed: int
    """Of the resampling."""

    def decide(self, distances: np.ndarray) -> np.ndarray:
        """`same`, `unsure` (within the interval) or `different`, of each distance; any shape."""
        low, high = self.interval
        names = np.array(["same", "unsure", "different"])
        return names[(distances >= low).astype(int) + (distances > high)]

    def warnings(self, cameras: Sequence[str], data_fingerprint: str | None = None) -> list[str]:
        """Lines on how images differ from those that were calibrated on.

        Args:
            cameras: names of the cameras of the images.
            data_fingerprint: of their data set, where it is known.
        """
        found = []
        other = sorted({printable(camera) for camera in cameras} - set(self.cameras))
        if self.cameras and other:
            few = ", ".join(other[:3]) + (", ..." if len(other) > 3 else "")
            name = "camera" if len(other) == 1 else "cameras"
            found.append(
                f"the threshold was not calibrated on {name} {few}, where it may accept more or "
                "fewer"
            )
        if data_fingerprint and self.data_fingerprint and data_fingerprint != self.data_fingerprint:
            found.append(f"the threshold was calibrated on another data set ({self.data})")
        return found

    def as_json(self) -> dict[str, Any]:
        """Of values that JSON has."""
        return asdict(self)


def parse_calibration(value: Any) -> Calibration:
    """The calibration that `as_json` made.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, Mapping) or set(value) != {f.name for f in fields(Calibration)}:
        raise ValueError("it holds no calibration of this version")

    def number(name: str, found: Any) -> float:
        most = 1 if "match" in name else sys.float_info.max
        if type(found) not in (int, float) or not 0 <= found <= most:
            raise ValueError(f"its {name} is no number from 0 to {most:g}")
        return float(found)

    def pair(name: str) -> tuple[float, float]:
        found = value[name]
        if not isinstance(found, list | tuple) or len(found) != 2:
            raise ValueError(f"its {name} is no interval")
        low, high = number(name, found[0]), number(name, found[1])
        if low > high:
            raise ValueError(f"its {name} is no interval")
        return low, high

    def line(name: str, found: Any) -> str:
        if type(found) is not str or not found.isprintable() or len(found) > 1000:
            raise ValueError(f"its {name} is no line of text")
        return found

    wholes = {name: value[name] for name in ("identities", "pairs", "same_pairs", "seed")}
    if not all(type(found) is int and found >= 0 for found in wholes.values()):
        raise ValueError("its counts are no whole numbers")
    if value["distance"] not in ("euclidean", "cosine"):
        raise ValueError("its distance is unknown")
    numbers = ("threshold", "false_match_rate", "missed_match_rate")
    intervals = ("interval", "false_match_interval", "missed_match_interval")
    fingerprint = value["data_fingerprint"]
    known: dict[str, Any] = {name: number(name, value[name]) for name in numbers}
    known |= {name: pair(name) for name in intervals} | wholes
    if not isinstance(value["cameras"], list | tuple):
        raise ValueError("its cameras are no list")
    known["cameras"] = tuple(line("cameras", name) for name in value["cameras"])
    known |= {name: line(name, value[name]) for name in ("data", "model")}
    if fingerprint is not None:
        line("data_fingerprint", fingerprint)
    return Calibration(**known, distance=value["distance"], data_fingerprint=fingerprint)
