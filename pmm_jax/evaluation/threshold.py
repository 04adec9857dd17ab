"""The distance at a rate of false matches, and where it lies when identities are resampled.

Pairs of images aren't independent: one person that looks like many others makes thousands of false
matches at once. So identities are resampled, and a pair of two weighs as often as both were drawn:
the bootstrap of a U-statistic of degree two (Bickel and Freedman, 1981), also known as the
pigeonhole bootstrap (Owen, 2007). It errs on the wide side: by what only one pair of identities
has in common, which it counts more than once.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix, integer_labels
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.pair_distances import MOST_PAIRS

RESAMPLES = 1000
LEVEL = (0.025, 0.975)
LEAST_FALSE_MATCHES = 10
"""That a rate must allow: below, the threshold hangs on single pairs."""
LEAST_IDENTITIES = 10
"""To resample, each seen by two cameras."""
REACH = 4.0
"""Resamples are counted at rates from the chosen one's fraction to its multiple; farther where they
need it."""
STEPS = 128
"""Distances at which they are counted; in between they are interpolated."""
BLOCK = 512
"""Images whose distances to others are held at once."""
SAMPLE = 256
"""Images whose distances to all others tell how far to look."""


class Threshold(NamedTuple):
    """A threshold with its rates; `pmm_jax.calibration.Calibration` says what each means."""

    threshold: float
    interval: tuple[float, float]
    false_match_rate: float
    false_match_interval: tuple[float, float]
    missed_match_rate: float
    missed_match_interval: tuple[float, float]
    identities: int
    pairs: int
    same_pairs: int


def find_threshold(
    features: np.ndarray,
    identities: np.ndarray,
    cameras: np.ndarray,
    false_match_rate: float,
    seed: int,
) -> Threshold:
    """The threshold at a rate of false matches, and its intervals.

    All pairs of images of two cameras count, as in a search that leaves the query's own camera out.
    The threshold is the largest one at which no more than the rate of the pairs of different
    identities is accepted (strictly below it). The interval of the threshold is that of the same
    threshold from resampled identities. The intervals of the rates are predictions: one resample is
    calibrated on, an independent one tried with its threshold, which is what becomes of the
    threshold on as many identities that nobody has seen.

    Args:
        features: (N, D) float32 or float64, compared by Euclidean distance.
        identities: (N,) integers; images of identity 0 or below, which nobody knows, are left out.
        cameras: (N,) integers; a negative one is unknown, and like no other.
        false_match_rate: above 0, below 1.
        seed: of the resampling.

    Raises:
        UserError: too few identities or pairs for the rate, arrays that don't fit each other, NaN
            or infinity.
    """
    if not 0 < false_match_rate < 1:
        raise UserError(
            f"the false-match rate is {false_match_rate:g}; it must lie between 0 and 1"
        )
    pairs = _pairs(features, identities, cameras, seed)
    _check(pairs, false_match_rate)
    weights = np.random.default_rng(seed).multinomial(
        pairs.identities, np.full(pairs.identities, 1 / pairs.identities), RESAMPLES
    )
    reach, most = REACH, 1 - LEVEL[0] / 2
    while True:
        count = int(reach * false_match_rate * pairs.different) + 1
        near = pairs.nearest(min(count, pairs.different))
        edges = _edges(near.squares, int(false_match_rate * pairs.different), reach)
        rates = pairs.false_match_rates(near, edges, weights)
        below, above = rates[:, 1] <= false_match_rate, rates[:, -1] >= false_match_rate
        # Beyond the edges, a resample's threshold would be no more than a guess.
        if reach >= pairs.different or (below.mean() > most and above.mean() > most):
            break
        reach *= 4
    square = near.squares[int(false_match_rate * pairs.different)]
    distances = np.sqrt(edges)
    thresholds = np.array([np.interp(false_match_rate, row, distances) for row in rates])
    missed = pairs.missed_match_rates(edges, weights)
    expected = [
        np.array([np.interp(t, distances, r) for t, r in zip(thresholds, some, strict=True)])
        for some in (np.roll(rates, 1, 0), np.roll(missed, 1, 0))
    ]
    low, high = _interval(thresholds)
    return Threshold(
        pairs.scale * float(square) ** 0.5,
        (pairs.scale * low, pairs.scale * high),
        false_match_rate,
        _interval(expected[0]),
        float((pairs.same_squares >= square).mean()),
        _interval(expected[1]),
        pairs.identities,
        pairs.different,
        len(pairs.same_squares),
    )


def rates_at(
    features: np.ndarray, identities: np.ndarray, cameras: np.ndarray, threshold: float, seed: int
) -> tuple[float, float]:
    """What a threshold comes to: the rates of false and of missed matches.

    Args:
        features: as of `find_threshold`, and all else.
        identities: likewise.
        cameras: likewise.
        threshold: pairs below it are accepted.
        seed: of the identities that are left out, where there are too many pairs.

    Raises:
        UserError: fewer than 10 identities, or fewer of them seen by two cameras.
    """
    pairs = _pairs(features, identities, cameras, seed)
    bound = (threshold / pairs.scale) ** 2
    accepted = sum(len(found.squares) for found in pairs.blocks(bound))
    return accepted / pairs.different, float((pairs.same_squares >= bound).mean())


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, LEVEL).tolist()
    return low, high


def _pairs(
    features: np.ndarray, identities: np.ndarray, cameras: np.ndarray, seed: int
) -> "_Pairs":
    """The pairs of the images of known identities; of too many, those of some identities."""
    features = feature_matrix("features", features)
    identities = integer_labels("identities", identities, len(features), "image")
    cameras = integer_labels("cameras", cameras, len(features), "image")
    values, sizes = np.unique(identities[identities > 0], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(values))
    few = np.cumsum(sizes[order]) <= (2 * MOST_PAIRS) ** 0.5
    rows = np.flatnonzero(np.isin(identities, values[order[few]]))
    if few.sum() < LEAST_IDENTITIES:
        raise UserError(
            f"{few.sum()} identities are too few to calibrate on; give at least "
            f"{LEAST_IDENTITIES}, and better hundreds"
        )
    rows = rows[np.argsort(identities[rows], kind="stable")]
    pairs = _Pairs(features[rows], identities[rows], cameras[rows])
    matched = len(np.unique(pairs.same_identity))
    if matched < LEAST_IDENTITIES:
        raise UserError(
            f"{matched or 'no'} identities were seen by two cameras, too few to tell how many "
            f"matches are missed; give at least {LEAST_IDENTITIES}, or leave the cameras out, so "
            "that all pairs of images count"
        )
    return pairs


def _check(pairs: "_Pairs", rate: float) -> None:
    allowed = rate * pairs.different
    if allowed < LEAST_FALSE_MATCHES:
        raise UserError(
            f"of {pairs.different:,} pairs of different identities a false-match rate of {rate:g} "
            f"allows {allowed:.1f}, and {LEAST_FALSE_MATCHES} are needed; choose "
            f"{LEAST_FALSE_MATCHES / pairs.different:.1g} or more, or calibrate on more images"
        )


def _edges(squares: np.ndarray, rank: int, reach: float) -> np.ndarray:
    """(E,): 0, and squares of the pairs of about rank / reach to rank * reach, ascending."""
    ranks = np.geomspace(max(rank / reach, 1), min(rank * reach, len(squares)), STEPS)
    return np.unique([0, *squares[ranks.astype(int) - 1], np.nextafter(squares[-1], np.inf)])


class _Near(NamedTuple):
    """The nearest pairs of different identities, by distance."""

    squares: np.ndarray
    """(P,) float32, ascending."""
    one: np.ndarray
    """(P,) int32, numbers of identities."""
    other: np.ndarray


class _Pairs:
    """All pairs of images of two cameras. Distances are scaled and squared.

    Attributes:
        identities: how many there are.
        different: pairs of different identities.
        same_squares: (S,) float32 of the pairs of one identity.
        same_identity: (S,) whose each is.
        scale: a distance is so many times the root of a square.
    """

    def __init__(self, features: np.ndarray, identities: np.ndarray, cameras: np.ndarray) -> None:
        """Count the pairs, and compare those of one identity.

        Args:
            features: (N, D) finite.
            identities: (N,), ascending.
            cameras: (N,), negative where unknown.
        """
        distances = Distances(features, features)
        self._features = distances.prepared()[0]
        self.scale = 2.0**distances.exponent
        self._lengths = np.einsum("nd,nd->n", self._features, self._features)
        self._identity = np.unique(identities, return_inverse=True)[1].astype(np.int32)
        self.identities = int(self._identity[-1]) + 1
        known = np.flatnonzero(cameras >= 0)
        _, columns = np.unique(cameras[known], return_inverse=True)
        self._camera = -1 - np.arange(len(cameras))  # an unknown one is like no other
        self._camera[known] = columns
        shape = (self.identities, int(columns.max(initial=0)) + 1)
        self._seen = np.zeros(shape)
        """Images of each identity by each known camera."""
        np.add.at(self._seen, (self._identity[known], columns), 1)
        self._images = np.bincount(self._identity).astype(np.float64)
        self.different = int(self._count(np.ones((1, self.identities)))[0]) // 2
        self.same_identity, self.same_squares = self._compare_same()

    def _count(self, weights: np.ndarray) -> np.ndarray:
        """(B,): ordered pairs of different identities and cameras, each weighed by both."""
        own = np.square(self._images) - np.square(self._seen).sum(1)
        one_camera = np.square(weights @ self._seen).sum(1)
        return np.square(weights @ self._images) - one_camera - np.square(weights) @ own

    def _squares(self, rows: slice, columns: slice) -> np.ndarray:
        """Squared distances as float32; rounding may take one below 0."""
        squares = (-2 * self._features[rows]) @ self._features[columns].T
        squares += self._lengths[rows, None]
        squares += self._lengths[columns]
        return squares.astype(np.float32, copy=False)

    def _below(self, rows: slice, columns: slice, bound: float) -> _Near:
        """Pairs of different identities, the lower one first, with squares below a bound."""
        squares = self._squares(rows, columns)
        i, j = np.nonzero(squares < bound)
        one, other = self._identity[rows][i], self._identity[columns][j]
        counted = (one < other) & (self._camera[rows][i] != self._camera[columns][j])
        squares = np.maximum(squares[i, j], 0)
        return _Near(squares[counted], one[counted], other[counted])

    def blocks(self, bound: float) -> Iterator[_Near]:
        """All pairs of different identities with squares below a bound, block by block."""
        for start in range(0, len(self._identity), BLOCK):
            yield self._below(slice(start, start + BLOCK), slice(start, None), bound)

    def _compare_same(self) -> tuple[np.ndarray, np.ndarray]:
        """Identity and square of each pair of one identity and two cameras."""
        found = []
        bounds = np.searchsorted(self._identity, np.arange(self.identities + 1)).tolist()
        for start, end in pairwise(bounds):
            one, other = np.triu_indices(end - start, 1)
            two = self._camera[start + one] != self._camera[start + other]
            squares = self._squares(slice(start, end), slice(start, end))
            found.append(np.maximum(squares[one[two], other[two]], 0))
        return np.repeat(np.arange(self.identities), [len(f) for f in found]), np.concatenate(found)

    def nearest(self, count: int) -> _Near:
        """The nearest pairs of different identities: so many, or more."""
        images = len(self._identity)
        sample = self._below(slice(0, None, -(-images // SAMPLE)), slice(None), np.inf).squares
        sample.sort()
        place = int(1.3 * count / self.different * len(sample)) + 10
        while True:
            bound = sample[place] if place < len(sample) else np.inf
            found = zip(*self.blocks(bound), strict=True)
            squares, one, other = (np.concatenate(column) for column in found)
            if len(squares) >= count:
                order = np.argsort(squares, kind="stable")
                return _Near(squares[order], one[order], other[order])
            place *= 4

    def false_match_rates(self, near: _Near, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, E): fraction of pairs of different identities below each edge, in each resample."""
        wide = np.ascontiguousarray(weights.T, np.float64)
        accepted = np.zeros((len(edges), len(weights)))
        bounds = np.searchsorted(near.squares, edges)
        shape = (self.identities, self.identities)
        for i, (start, end) in enumerate(pairwise(bounds.tolist()), 1):
            places = near.one[start:end], near.other[start:end]
            counts = sparse.coo_matrix((np.ones(end - start), places), shape=shape).tocsr()
            accepted[i] = np.einsum("ib,ib->b", wide, counts @ wide)
        total = np.maximum(self._count(weights.astype(np.float64)), 1)
        return 2 * np.cumsum(accepted, 0).T / total[:, None]

    def missed_match_rates(self, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, E): fraction of pairs of one identity at each edge or above, in each resample."""
        step = np.searchsorted(edges, self.same_squares, side="right")
        shape = (self.identities, len(edges) + 1)
        ones = np.ones(len(step))
        counts = sparse.coo_matrix((ones, (self.same_identity, step)), shape=shape).toarray()
        total = weights.astype(np.float64) @ counts
        accepted = np.cumsum(total, 1)[:, :-1]
        return 1 - accepted / np.maximum(total.sum(1), 1)[:, None]
