"""Time and memory of an evaluation, against fast-reid's evaluators and the bare matrix product.

    python -m benchmarks.evaluation [--fastreid DIR] [--embeddings FILE.npz] [--json]

Embeddings are random, at Market-1501's size, unless a file is given. Each round gives everyone a
turn. Three tables: ranking from a given matrix of distances; ranking from embeddings, against their
bare matrix product; and, with --distractors N, memory and time with so many more gallery images.

--fastreid names the folder fastreid/evaluation of the published package, its extension built:

    pip download --no-deps fastreid==1.4.0 && unzip fastreid-1.4.0-py3-none-any.whl
    cd fastreid/evaluation/rank_cylib && python setup.py build_ext --inplace
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.embeddings import add_arguments, sets
from pmm_jax.evaluation import (
    Embeddings,
    evaluate_distances,
    evaluate_embeddings,
)
from pmm_jax.files import user_path
from pmm_jax.runtime.peak_rss import peak_rss, reset_peak_rss

Row = dict[str, float]


def fastreid(folder: str, name: str) -> Any:
    """A module of fast-reid's evaluation, by path: its package can't be imported whole."""
    package = types.ModuleType("fastreid_evaluation")
    package.__path__ = [str(user_path(folder).resolve())]
    sys.modules["fastreid_evaluation"] = package
    return importlib.import_module(f"fastreid_evaluation.{name}")


Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def labels(query: Embeddings, gallery: Embeddings) -> Labels:
    """Identities of query and gallery, then cameras."""
    return query.identities, gallery.identities, query.cameras, gallery.cameras


def interleaved(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, Row]:
    """Median seconds of each action, after one turn that isn't counted; the slow only once."""
    turns: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            if turn and turns[name][0] > SLOW:
                continue
            started = time.perf_counter()
            action()
            turns.setdefault(name, []).append(time.perf_counter() - started)
    return {n: {"seconds": float(np.median(t[1:] or t))} for n, t in turns.items()}


SLOW = 20.0
"""Seconds after which an action gets no second turn."""


def given_matrix(
    query: Embeddings, gallery: Embeddings, folder: str, rounds: int
) -> dict[str, Row]:
    """Ranking from a matrix of distances."""
    squares = np.square(query.features).sum(1)[:, None] + np.square(gallery.features).sum(1)
    matrix = squares - 2 * query.features @ gallery.features.T
    ids = labels(query, gallery)
    actions: dict[str, Callable[[], object]] = {"pmm_jax": lambda: evaluate_distances(matrix, *ids)}
    if folder:
        rank = fastreid(folder, "rank")
        if rank.IS_CYTHON_AVAI:
            actions["fast-reid, Cython"] = lambda: rank.evaluate_rank(matrix, *ids, max_rank=50)
            theirs = rank.evaluate_rank(matrix, *ids, max_rank=50)
            ours = evaluate_distances(matrix, *ids)
            difference = max(abs(theirs[0][0] - ours.rank1), abs(np.mean(theirs[1]) - ours.mAP))
            print(f"largest difference from fast-reid: {difference:.1e}", file=sys.stderr)
        else:
            print("fast-reid's extension isn't built: its row is missing", file=sys.stderr)
        actions["fast-reid, Python loop"] = lambda: rank.evaluate_rank(
            matrix, *ids, max_rank=50, use_cython=False
        )
    rows = interleaved(actions, rounds)
    for row in rows.values():
        row["ratio"] = row["seconds"] / rows["pmm_jax"]["seconds"]
    return rows


def from_embeddings(query: Embeddings, gallery: Embeddings, rounds: int) -> dict[str, Row]:
    """Ranking from embeddings, against the bare matrix product by two libraries."""
    product = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST))
    reset_peak_rss()
    before = peak_rss()
    evaluate_embeddings(query, gallery)
    added = peak_rss() - before
    rows = interleaved(
        {
            "product, NumPy": lambda: query.features @ gallery.features.T,
            "product, JAX": lambda: product(query.features, gallery.features).block_until_ready(),
            "pmm_jax": lambda: evaluate_embeddings(query, gallery),
        },
        rounds,
    )
    for row in rows.values():
        row["ratio"] = row["seconds"] / rows["product, NumPy"]["seconds"]
    rows["pmm_jax"]["added_bytes"] = added
    return rows


def with_distractors(query: Embeddings, gallery: Embeddings, count: int) -> dict[str, Row]:
    """One evaluation with many more gallery images of no query's identity."""
    length = gallery.features.shape[1]
    features = np.empty((len(gallery.features) + count, length), np.float32)
    features[: len(gallery.features)] = gallery.features
    rng = np.random.default_rng(2)
    spread = np.float32(gallery.features.std())
    for start in range(len(gallery.features), len(features), 1 << 14):
        rows = features[start : start + (1 << 14)]
        rng.standard_normal(rows.shape, np.float32, out=rows)
        rows *= spread
    more = Embeddings(
        features,
        np.concatenate([gallery.identities, np.zeros(count, int)]),
        np.concatenate([gallery.cameras, np.ones(count, int)]),
    )
    reset_peak_rss()
    before = peak_rss()
    started = time.perf_counter()
    evaluate_embeddings(query, more)
    seconds = time.perf_counter() - started
    name = f"{len(query.features):,} x {len(features):,}"
    return {name: {"seconds": seconds, "added_bytes": peak_rss() - before}}


def show(title: str, rows: dict[str, Row]) -> None:
    """A table."""
    print(f"\n{title}")
    for name, row in rows.items():
        ratio = f"{row['ratio']:>9.2f}" if "ratio" in row else ""
        added = f"  {row['added_bytes'] / 2**30:.2f} GiB more" if "added_bytes" in row else ""
        print(f"  {name:<24}{row['seconds']:>9.3f} s{ratio}{added}")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Time an evaluation.")
    parser.add_argument("--fastreid", default="", help="its folder fastreid/evaluation, built")
    add_arguments(parser)
    parser.add_argument("--distractors", type=int, default=0, help="more gallery images: 500,000")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    query, gallery = sets(options)
    tables = {
        "from a matrix of distances": given_matrix(
            query, gallery, options.fastreid, options.rounds
        ),
        "from embeddings": from_embeddings(query, gallery, options.rounds),
    }
    if options.distractors:
        tables["with distractors"] = with_distractors(query, gallery, options.distractors)
    if options.json:
        print(json.dumps(tables))
        return
    for title, rows in tables.items():
        show(title, rows)


if __name__ == "__main__":
    main()
