"""Recall and time of an approximate FAISS index, against the exact nearest neighbours.

    python -m benchmarks.index [--embeddings FILE.npz] [--json]

Embeddings are made up, at Market-1501's size, unless a file is given. Recall is the share of each
query's 50 nearest gallery images that the index finds. Time is of building and searching together.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from benchmarks.evaluation import made_up
from pmm_jax.evaluation import evaluate_embeddings, load_features
from pmm_jax.evaluation.approximate import evaluate_approximately, find, recall
from pmm_jax.evaluation.neighbours import nearest

KINDS = (("IVF256,Flat", 8), ("IVF256,Flat", 32), ("IVF256,PQ64", 32), ("HNSW32,Flat", 0))
"""Index and probes."""
NEAREST = 50


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Recall of approximate indexes.")
    parser.add_argument("--embeddings", default="", help="npz file; made-up embeddings without")
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--length", type=int, default=1536)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.embeddings:
        query, gallery = load_features(options.embeddings)
    else:
        rng = np.random.default_rng(0)
        query = made_up(options.queries, options.length, rng)
        gallery = made_up(options.gallery, options.length, rng)
    started = time.perf_counter()
    true = nearest(query.features, gallery.features, NEAREST).indices
    rows = [{"index": "exact", "seconds": time.perf_counter() - started, "recall": 1.0}]
    rows[0]["mAP"] = evaluate_embeddings(query, gallery).mAP
    for index, probes in KINDS:
        started = time.perf_counter()
        found = find(query.features, gallery.features, NEAREST, index, probes)
        rows.append(
            {
                "index": f"{index}, {probes} probes" if probes else index,
                "seconds": time.perf_counter() - started,
                "recall": recall(found, true),
                "mAP": evaluate_approximately(query, gallery, index, probes).mAP,
            }
        )
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['index']:<28}{row['seconds']:>8.2f} s, built and searched"
            f"   recall {row['recall']:.3f}   mAP {row['mAP']:.3f}"
        )


if __name__ == "__main__":
    main()
