"""Rank lists of a few queries: which queries, their first gallery images, each image's mark."""

from typing import Any, NamedTuple

import numpy as np

from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.market_protocol import JUNK, Protocol
from pmm_jax.evaluation.row import Row, nearest, others_ahead

QUERIES = 4
"""Of each group."""
LENGTH = 10
"""Gallery images of a list."""
EXCLUDED = ("same camera", "junk")
"""Marks of images that take no rank."""

Result = dict[str, Any]
"""A gallery image in a list: path, identity, camera, distance, mark, and rank or None."""


class Query(NamedTuple):
    """A query whose list is shown."""

    row: int
    group: str
    """`best`, `median` or `worst`."""


def choose_queries(average_precision: np.ndarray, identities: np.ndarray) -> list[Query]:
    """The best, median and worst queries, of different identities as far as there are enough.

    Args:
        average_precision: (Q,), NaN where a query has no match; equal ones are in query order.
        identities: (Q,).
    """
    best = np.argsort(-average_precision, kind="stable")  # NaN comes last
    best = best[: np.count_nonzero(~np.isnan(average_precision))]
    from_middle = np.argsort(np.abs(2 * np.arange(len(best)) + 1 - len(best)), kind="stable")
    count = min(QUERIES, -(-len(best) // 3))
    groups: dict[str, list[int]] = {}
    for group, order in (("best", best), ("worst", best[::-1]), ("median", best[from_middle])):
        taken = [row for rows in groups.values() for row in rows]
        groups[group] = _first_apart(order[~np.isin(order, taken)], identities, taken, count)
    return [Query(row, group) for group in ("best", "median", "worst") for row in groups[group]]


def _first_apart(
    order: np.ndarray, identities: np.ndarray, taken: list[int], count: int
) -> list[int]:
    """The first of each identity that none of `taken` has, then the others; in order."""
    seen = set(identities[taken].tolist())
    new: list[int] = []
    known: list[int] = []
    for row, identity in zip(order.tolist(), identities[order].tolist(), strict=True):
        (known if identity in seen else new).append(row)
        seen.add(identity)
    return (new + known)[:count]


def rank_lists(
    query: Embeddings,
    gallery: Embeddings,
    junk: Embeddings | None = None,
    has_distractors: bool = True,
) -> list[list[Result]]:
    """Each query's first gallery images, those that the protocol excludes in their places.

    A query's first match comes last where it isn't among them.

    Args:
        query: a few, with paths.
        gallery: without junk, with paths.
        junk: gallery images of identity -1, where they are to be shown.
        has_distractors: whether identity 0 stands for people who are no query.

    Raises:
        UserError: no query has a match.
    """
    shape = len(query.identities), len(gallery.identities)
    protocol = Protocol(query.identities, gallery.identities, query.cameras, gallery.cameras, shape)
    parts = [
        (part, _Rows(query.features, part.features)) for part in (gallery, junk) if part is not None
    ]
    ranked_rows = parts[0][1]
    lists = []
    for i in range(len(query.identities)):
        found = [
            _result(part, image, squared, _mark(query, i, part, image, has_distractors))
            for part, rows in parts
            for image, squared in rows.nearest(i, LENGTH)
        ]
        found = sorted(found, key=lambda result: result["distance"])[:LENGTH]
        ranked = [result for result in found if result["mark"] not in EXCLUDED]
        for rank, result in enumerate(ranked, 1):
            result["rank"] = rank
        matches = protocol.matches(i)
        if len(matches) and all(result["mark"] != "right" for result in ranked):
            match = np.array([nearest(ranked_rows.row(i), matches)])
            ahead = others_ahead(ranked_rows.row(i), match, protocol.others(i))
            first = _result(gallery, match[0], ranked_rows.exact(i, match)[0], "right")
            found.append({**first, "rank": int(ahead[0]) + 1})
        lists.append(found)
    return lists


class _Rows:
    """Squared distances of each query to the images of a gallery, as exact as the evaluator's."""

    def __init__(self, query: np.ndarray, gallery: np.ndarray) -> None:
        self._distances = Distances(query, gallery)
        self._every = np.arange(len(gallery))
        self._values = self._distances.block(np.arange(len(query)), self._every)

    def exact(self, query: int, images: np.ndarray) -> np.ndarray:
        """(N,) float64."""
        return self._distances.pairs(np.full(len(images), query), images)

    def row(self, query: int) -> Row:
        """Distances as far as they are known."""
        error = self._distances.error(query, self._every)
        return Row(self._values[query], error, lambda images: self.exact(query, images))

    def nearest(self, query: int, count: int) -> list[tuple[int, float]]:
        """Images and their distances, nearest first, ties in gallery order."""
        values, error = self._values[query], self._distances.error(query, self._every)
        count = min(count, len(values))
        limit = np.partition(values + error, count - 1)[count - 1]
        near = np.flatnonzero(values - error <= limit)
        exact = self.exact(query, near)
        order = np.lexsort((near, exact))[:count]
        return list(zip(near[order].tolist(), exact[order].tolist(), strict=True))


def _mark(query: Embeddings, i: int, gallery: Embeddings, image: int, has_distractors: bool) -> str:
    identity = gallery.identities[image]
    if identity == JUNK:
        return "junk"
    if identity == query.identities[i]:
        return "same camera" if gallery.cameras[image] == query.cameras[i] else "right"
    return "distractor" if identity == 0 and has_distractors else "wrong"


def _result(images: Embeddings, image: int, squared: float, mark: str) -> Result:
    return {
        "path": "" if images.paths is None else str(images.paths[image]),
        "identity": images.identity_name(image),
        "camera": images.camera_name(image),
        "distance": float(np.sqrt(squared)),
        "mark": mark,
        "rank": None,
    }
