"""Re-ranking with sparse sets, by both forms, against the published O(N^2) code.

    python -m benchmarks.reranking [--fastreid DIR] [--embeddings FILE.npz] [--json]

"sparse" is the form for a CPU, "jitted" the one for accelerators; each runs on any platform, and a
process uses its own platform's. Embeddings are random, at Market-1501's size, unless a file is
given. --fastreid names the folder fastreid/evaluation of the published package, which holds the
authors' code (k-reciprocal encoding, Zhong et al., CVPR 2017) as everybody uses it; it takes about
9 GB at that size. --queries 11659 --gallery 82161 is the size of MSMT17.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from benchmarks.embeddings import add_arguments, sets
from benchmarks.evaluation import Row, fastreid, labels, show
from pmm_jax.config import RankConfig
from pmm_jax.evaluation import Embeddings, RankingMetrics, evaluate_distances
from pmm_jax.evaluation.evaluate import evaluate_preprocessed
from pmm_jax.runtime import current_platform, override_platform
from pmm_jax.runtime.peak_rss import peak_rss, reset_peak_rss


def ours(query: Embeddings, gallery: Embeddings, form: str) -> RankingMetrics:
    """Sparse sets in a form of ours, and the ranking."""
    own = current_platform()
    with override_platform("cpu" if form == "sparse" else "gpu" if own == "cpu" else own):
        return evaluate_preprocessed(query, gallery, RankConfig(rerank=True))


def published(query: Embeddings, gallery: Embeddings, folder: str) -> RankingMetrics:
    """The authors' function, with the three matrices that it takes, and the ranking."""

    def euclidean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1)
        squares -= 2 * one @ other.T
        return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)

    q, g = query.features, gallery.features
    distances = fastreid(folder, "rerank").re_ranking(
        euclidean(q, g), euclidean(q, q), euclidean(g, g), 20, 6, 0.3
    )
    return evaluate_distances(distances, *labels(query, gallery))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Time re-ranking.")
    parser.add_argument("--fastreid", default="", help="its folder fastreid/evaluation")
    add_arguments(parser)
    options = parser.parse_args()
    query, gallery = sets(options)
    rows: dict[str, Row] = {}
    found: list[RankingMetrics] = []
    published_too = ("published",) if options.fastreid else ()
    for name in ("sparse", "jitted", *published_too, "sparse again", "jitted again"):
        reset_peak_rss()
        before, started = peak_rss(), time.perf_counter()
        if name == "published":
            found.append(published(query, gallery, options.fastreid))
        else:
            found.append(ours(query, gallery, name.removesuffix(" again")))
        seconds = time.perf_counter() - started
        rows[name] = {
            "seconds": seconds,
            "added_bytes": peak_rss() - before,
            "rank1": found[-1].rank1,
            "mAP": found[-1].mAP,
            "mINP": found[-1].mINP,
        }
    for row in rows.values():
        row["ratio"] = row["seconds"] / rows["sparse"]["seconds"]
    if options.json:
        print(json.dumps(rows))
        return
    show("re-ranking, ranking included", rows)
    for name, row in rows.items():
        print(f"  {name:<24}" + "  ".join(f"{k} {row[k]:.6f}" for k in ("rank1", "mAP", "mINP")))


if __name__ == "__main__":
    main()
