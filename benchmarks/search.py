"""Time of exact search beside FAISS's flat search, in turns, and whether the orders are equal.

    python -m benchmarks.search [--gallery 15913 | --embeddings FILE.npz] [--orders N] [--json]

Milliseconds a query, embedding not included: one query at a time, and 32 together. Embeddings are
random unless a file is given: a million of them are --gallery 1000000 --queries 32. `faiss` is
`faiss.knn`, which a flat index runs, on the same array. `--orders` compares the first 100 images of
the first N queries with an order by the evaluator's distances.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from benchmarks.embeddings import add_arguments
from pmm_jax.evaluation import load_features
from pmm_jax.evaluation.distances import Distances
from pmm_jax.search.exact import ExactIndex

TOP = 10
DEPTH = 100
"""Images of an order that is compared."""
TOGETHER = 32
ROUNDS = 5
SINGLES = 4
"""Queries that are timed one by one in a round."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Exact search beside FAISS's.")
    add_arguments(parser)
    parser.add_argument("--orders", type=int, default=20)
    options = parser.parse_args()
    query, gallery = _features(options)
    started = time.perf_counter()
    index = ExactIndex(gallery, "euclidean")
    opened = time.perf_counter()
    index.prepare()
    prepared = time.perf_counter()
    equal = _orders_equal(index, query[: options.orders], gallery)

    def ours(some: np.ndarray) -> None:
        list(index.nearest(some, TOP))

    def flat(some: np.ndarray) -> None:
        faiss.knn(some, gallery, TOP)

    found: dict[str, Any] = {
        "gallery": len(gallery),
        "length": gallery.shape[1],
        "open_seconds": opened - started,
        "prepare_seconds": prepared - opened,
        "orders_compared": min(options.orders, len(query)),
        "orders_equal": equal,
    }
    for name, times in _in_turns(query, {"ours": ours, "faiss": flat}).items():
        found[name] = {
            "one": float(np.median(times[0])),
            "one_worst": max(times[0]),
            "together": float(np.median(times[1])),
        }
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{len(gallery):,} images of {gallery.shape[1]}: ready in {opened - started:.1f} s, for "
        f"many searches {prepared - opened:.1f} s more; {equal} of {found['orders_compared']} "
        "orders equal"
    )
    for name in ("ours", "faiss"):
        row = found[name]
        print(
            f"{name:<8}{row['one']:>8.1f} ms a query (at worst {row['one_worst']:.1f}), "
            f"{row['together']:.1f} ms of {TOGETHER} together"
        )


def _features(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    if options.embeddings:
        query, gallery = (images.features for images in load_features(options.embeddings))
        return query.astype(np.float32), gallery.astype(np.float32)
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((options.gallery, options.length), np.float32)
    return rng.standard_normal((options.queries, options.length), np.float32), gallery


def _orders_equal(index: ExactIndex, query: np.ndarray, gallery: np.ndarray) -> int:
    """How many queries' first images are those of the evaluator, in its order."""
    if not len(query):
        return 0
    distances, every = Distances(query, gallery), np.arange(len(gallery))
    equal = 0
    # One by one, as most people search, and together.
    singles = (next(index.nearest(query[i : i + 1], DEPTH)) for i in range(len(query)))
    for i, both in enumerate(zip(singles, index.nearest(query, DEPTH), strict=True)):
        exact = distances.pairs(np.full(len(every), i), every)
        order = np.lexsort((every, exact))[:DEPTH]
        equal += all(np.array_equal(found.rows, order) for found in both)
    return equal


def _in_turns(
    query: np.ndarray, searches: dict[str, Callable[[np.ndarray], None]]
) -> dict[str, tuple[list[float], list[float]]]:
    """Milliseconds of each search: of single queries, and of each of several together."""
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in searches}
    several = np.resize(query, (TOGETHER, query.shape[1]))
    for turn in range(ROUNDS + 1):
        for name, search in searches.items():
            for number in range(SINGLES):
                row = (turn * SINGLES + number) % len(query)
                times[name][0].append(_milliseconds(search, query[row : row + 1]))
            times[name][1].append(_milliseconds(search, several) / TOGETHER)
    # The first round touches memory for the first time.
    return {name: (one[SINGLES:], many[1:]) for name, (one, many) in times.items()}


def _milliseconds(search: Callable[[np.ndarray], None], some: np.ndarray) -> float:
    started = time.perf_counter()
    search(some)
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
