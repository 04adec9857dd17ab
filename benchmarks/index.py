"""Recall and time of an approximate FAISS index, against the exact nearest neighbors.

    python -m benchmarks.index [--embeddings FILE.npz] [--json]

Embeddings are random, at Market-1501's size, unless a file is given. Recall is the fraction of each
query's 50 nearest gallery images that the index finds. Time is of building and searching together.
"""

from __future__ import annotations

import argparse
import json
import time

from benchmarks.embeddings import add_arguments, sets
from pmm_jax.evaluation import evaluate_embeddings
from pmm_jax.evaluation.approximate import evaluate_approximately, find, recall
from pmm_jax.evaluation.neighbors import nearest

KINDS = (("IVF256,Flat", 8), ("IVF256,Flat", 32), ("HNSW32,Flat", 0))
"""Index and probes."""
NEAREST = 50


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Recall of approximate indexes.")
    add_arguments(parser)
    options = parser.parse_args()
    query, gallery = sets(options)
    started = time.perf_counter()
    true = nearest(query.features, gallery.features, NEAREST).indices
    rows = [{"index": "exact", "seconds": time.perf_counter() - started, "recall": 1.0}]
    rows[0]["mAP"] = evaluate_embeddings(query, gallery).mAP
    for index, nprobe in KINDS:
        started = time.perf_counter()
        found = find(query.features, gallery.features, NEAREST, index, nprobe)
        rows.append(
            {
                "index": f"{index}, {nprobe} probes" if nprobe else index,
                "seconds": time.perf_counter() - started,
                "recall": recall(found, true),
                "mAP": evaluate_approximately(query, gallery, index, nprobe).mAP,
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
