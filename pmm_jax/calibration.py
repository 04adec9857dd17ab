"""A distance below which two images count as one person, at a chosen rate of false matches.

Pairs of images aren't independent: one person that looks like many others makes thousands of false
matches at once. So intervals resample identities, on both sides of a pair: a bootstrap of a
U-statistic of degree two, in which a pair of identities weighs as often as both were drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from pmm_jax.errors import UserError

RESAMPLES = 1000
LEAST_FALSE_MATCHES = 10
"""That a rate must allow: below, the threshold hangs on single pairs."""
LEAST_IDENTITIES = 10
"""To resample."""
BLOCK = 1024
"""Images whose distances to all others are held at once."""
BINS = 4096
STEPS = 512
"""Thresholds at which resamples are counted; in between they are interpolated."""
REACH = 4.0
"""Rates that resamples are counted up to, as a multiple of the chosen one; more where they need
it."""
LEVEL = (0.025, 0.975)


@dataclass(frozen=True)
class Calibration:
    """A threshold of a model, and what is known of it. Distances are Euclidean, not squared."""

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
        other = sorted(set(cameras) - set(self.cameras))
        if self.cameras and other:
            few = ", ".join(other[:3]) + (", ..." if len(other) > 3 else "")
            found.append(f"the threshold was not calibrated on camera {few}")
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
        if type(found) not in (int, float) or not 0 <= found < np.inf:
            raise ValueError(f"its {name} is no number from 0 on")
        return float(found)

    def pair(name: str) -> tuple[float, float]:
        found = value[name]
        if not isinstance(found, list | tuple) or len(found) != 2 or found[0] > found[1]:
            raise ValueError(f"its {name} is no interval")
        return number(name, found[0]), number(name, found[1])

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
    known["cameras"] = tuple(line("cameras", name) for name in value["cameras"])
    known |= {name: line(name, value[name]) for name in ("data", "model")}
    if fingerprint is not None:
        line("data_fingerprint", fingerprint)
    return Calibration(**known, distance=value["distance"], data_fingerprint=fingerprint)


class Figures(NamedTuple):
    """What `calibrate` finds: fields of `Calibration`."""

    threshold: float
    interval: tuple[float, float]
    false_match_rate: float
    false_match_interval: tuple[float, float]
    missed_match_rate: float
    missed_match_interval: tuple[float, float]
    identities: int
    pairs: int
    same_pairs: int


def calibrate(
    features: np.ndarray,
    identities: np.ndarray,
    cameras: np.ndarray,
    false_match_rate: float,
    seed: int,
) -> Figures:
    """The threshold at a rate of false matches, and its intervals.

    All pairs of images of two cameras count, as in a search that leaves the query's own camera out.
    The threshold is the largest one at which no more than the rate of the pairs of different
    identities is accepted (strictly below it). The interval of the threshold is that of the same
    threshold from resampled identities. The intervals of the rates are predictions: one resample is
    calibrated on, an independent one tried with its threshold, which is what becomes of the
    threshold on as many identities that nobody has seen.

    Args:
        features: (N, D) floating point, compared by Euclidean distance.
        identities: (N,) integers; images of identity 0 or below, which nobody knows, are left out.
        cameras: (N,) integers; a negative one is unknown, and like no other.
        false_match_rate: above 0, below 1.
        seed: of the resampling.

    Raises:
        UserError: too few identities, or pairs, for the rate.
    """
    known = identities > 0
    pairs = _Pairs(features[known], identities[known], cameras[known])
    _check(pairs, false_match_rate)
    weights = np.random.default_rng(seed).multinomial(
        pairs.identities, np.full(pairs.identities, 1 / pairs.identities), RESAMPLES
    )
    reach = REACH * false_match_rate
    while True:
        near = pairs.nearest(int(min(reach, 1.0) * pairs.different) + 1)
        edges = np.unique(near.distances[np.linspace(0, len(near.distances) - 1, STEPS, dtype=int)])
        rates = pairs.false_match_rates(near, edges, weights)
        # Resamples whose threshold lies beyond what was counted would have been cut off there.
        if reach >= 1 or (rates[:, -1] >= false_match_rate).mean() > 1 - LEVEL[0] / 2:
            break
        reach *= 4
    thresholds = np.array([np.interp(false_match_rate, row, edges) for row in rates])
    missed = pairs.missed_match_rates(edges, weights)
    others = np.roll(np.arange(RESAMPLES), 1)
    expected = [
        np.array([np.interp(t, edges, r) for t, r in zip(thresholds, some[others], strict=True)])
        for some in (rates, missed)
    ]
    threshold = float(near.distances[int(false_match_rate * pairs.different)])
    return Figures(
        threshold,
        _interval(thresholds),
        false_match_rate,
        _interval(expected[0]),
        float((pairs.same_distances >= threshold).mean()),
        _interval(expected[1]),
        pairs.identities,
        pairs.different,
        len(pairs.same_distances),
    )


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, LEVEL).tolist()
    return low, high


def _check(pairs: "_Pairs", rate: float) -> None:
    if not 0 < rate < 1:
        raise UserError(f"the false-match rate is {rate:g}; it must lie between 0 and 1")
    if pairs.identities < LEAST_IDENTITIES:
        raise UserError(
            f"{pairs.identities} identities are too few to calibrate on; give at least "
            f"{LEAST_IDENTITIES}, and better hundreds"
        )
    if not len(pairs.same_distances):
        raise UserError("no identity was seen by two cameras, so no match can be missed")
    allowed = rate * pairs.different
    if allowed < LEAST_FALSE_MATCHES:
        least = LEAST_FALSE_MATCHES / pairs.different if pairs.different else 1.0
        raise UserError(
            f"of {pairs.different:,} pairs of different identities a false-match rate of {rate:g} "
            f"allows {allowed:.1f}; choose {least:.1g} or more, or calibrate on more images"
        )


class _Near(NamedTuple):
    """The nearest pairs of different identities, by distance."""

    distances: np.ndarray
    """(P,) float32, ascending."""
    one: np.ndarray
    """(P,) indices of identities."""
    other: np.ndarray


class _Pairs:
    """All pairs of images of two cameras.

    Attributes:
        identities: how many there are.
        different: pairs of different identities.
        same_distances: (S,) of the pairs of one identity.
    """

    def __init__(self, features: np.ndarray, identities: np.ndarray, cameras: np.ndarray) -> None:
        """Count the pairs, and compare those of one identity."""
        self._features = (features - features.mean(0)).astype(np.float32)  # keeps rounding small
        self._squares = np.square(self._features).sum(1)
        _, self._identity = np.unique(identities, return_inverse=True)
        unknown = cameras < 0
        cameras = cameras.astype(np.int64).copy()
        cameras[unknown] = cameras.max(initial=0) + 1 + np.arange(unknown.sum())
        _, self._camera = np.unique(cameras, return_inverse=True)
        self.identities = int(self._identity.max(initial=-1)) + 1
        shape = (self.identities, int(self._camera.max(initial=-1)) + 1)
        counts = np.ones(len(identities)), (self._identity, self._camera)
        self._seen = sparse.coo_matrix(counts, shape=shape).tocsr()
        """Images of each identity by each camera."""
        self._images = np.asarray(self._seen.sum(1)).ravel()
        self._own = self._images**2 - np.asarray(self._seen.multiply(self._seen).sum(1)).ravel()
        """Ordered pairs of one identity and two cameras."""
        self.different = int(self._count(np.ones((1, self.identities)))[0]) // 2
        self._same_identity, self.same_distances = self._compare_same()

    def _count(self, weights: np.ndarray) -> np.ndarray:
        """(B,): ordered pairs of different identities and cameras, each weighed by both."""
        by_camera = np.asarray(self._seen.T @ weights.T)
        return np.square(weights @ self._images) - (
            np.square(by_camera).sum(0) + np.square(weights) @ self._own
        )

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First image of a block, and its squared distances to the images from there on.

        Infinite where two images are of one identity or camera, or the pair comes elsewhere.
        """
        for start in range(0, len(self._features), BLOCK):
            rows = slice(start, start + BLOCK)
            squares = self._features[rows] @ self._features[start:].T
            squares *= -2
            squares += self._squares[rows, None]
            squares += self._squares[None, start:]
            for labels in (self._identity, self._camera):
                squares[labels[rows, None] == labels[None, start:]] = np.inf
            squares[np.tril_indices(len(squares), 0, squares.shape[1])] = np.inf
            yield start, squares

    def _compare_same(self) -> tuple[np.ndarray, np.ndarray]:
        """Identity and distance of each pair of one identity and two cameras."""
        found: list[tuple[np.ndarray, np.ndarray]] = []
        order = np.argsort(self._identity, kind="stable")
        for rows in np.split(order, np.cumsum(np.bincount(self._identity))[:-1]):
            one, other = np.triu_indices(len(rows), 1)
            two = self._camera[rows[one]] != self._camera[rows[other]]
            one, other = rows[one[two]], rows[other[two]]
            difference = self._features[one] - self._features[other]
            found.append((self._identity[one], np.sqrt(np.square(difference).sum(1))))
        identities, distances = zip(*found, strict=True) if found else ([np.empty(0)],) * 2
        return np.concatenate(identities), np.concatenate(distances)

    def nearest(self, count: int) -> _Near:
        """The nearest pairs of different identities: `count` of them, and those between."""
        kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        held, bound = 0, np.inf
        for start, squares in self._blocks():
            one, other = np.nonzero(squares < bound)
            near = squares[one, other], self._identity[one + start], self._identity[other + start]
            kept.append(near)
            held += len(one)
            if held > 2 * count:
                joined = [np.concatenate(column) for column in zip(*kept, strict=True)]
                chosen = np.argpartition(joined[0], count - 1)[:count]
                kept = [(joined[0][chosen], joined[1][chosen], joined[2][chosen])]
                held, bound = count, float(kept[0][0].max())
        joined = [np.concatenate(column) for column in zip(*kept, strict=True)]
        order = np.argsort(joined[0], kind="stable")[:count]
        distances = np.sqrt(np.maximum(joined[0][order], 0))  # rounding may take one below 0
        return _Near(distances, joined[1][order], joined[2][order])

    def false_match_rates(self, near: _Near, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, E): fraction of pairs of different identities below each edge, in each resample."""
        step = np.searchsorted(edges, near.distances, side="right") - 1
        accepted = np.zeros((len(weights), len(edges)))
        wide = weights.astype(np.float64)
        bounds = np.searchsorted(step, np.arange(len(edges)))
        shape = (self.identities, self.identities)
        for i, (start, end) in enumerate(zip(bounds, [*bounds[1:], len(step)], strict=True)):
            places = near.one[start:end], near.other[start:end]
            counts = sparse.coo_matrix((np.ones(end - start), places), shape=shape).tocsr()
            accepted[:, i] = np.einsum("bi,bi->b", wide, (counts.T @ wide.T).T)
        # Those from an edge to the next are below the next.
        below = np.cumsum(accepted, 1) - accepted
        return 2 * below / np.maximum(self._count(wide), 1)[:, None]

    def missed_match_rates(self, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, E): fraction of pairs of one identity at each edge or above, in each resample."""
        step = np.searchsorted(edges, self.same_distances, side="right")
        shape = (self.identities, len(edges) + 1)
        ones = np.ones(len(step))
        counts = sparse.coo_matrix((ones, (self._same_identity, step)), shape=shape).toarray()
        total = weights.astype(np.float64) @ counts
        accepted = np.cumsum(total, 1)[:, :-1]
        return 1 - accepted / np.maximum(total.sum(1), 1)[:, None]
