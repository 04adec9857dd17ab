"""Time and memory of an evaluation: ours from embeddings, against PyTorch's plain loop.

    python -m benchmarks.evaluation [--queries N --gallery N --length N] [--json]

Embeddings are made up, at Market-1501's size by default. Each round gives everyone a turn: the bare
matrix product in NumPy (the floor), ours, and the loop that PyTorch re-ID code uses, which sorts
the gallery for each query (the baseline's; needs torch).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from pmm_jax.comparison.memory import forget_peak, peak
from pmm_jax.evaluation import Embeddings, evaluate_embeddings

IDENTITIES, CAMERAS = 750, 6
"""Of Market-1501's test set."""


def made_up(count: int, length: int, rng: np.random.Generator) -> Embeddings:
    """Embeddings that hold their identity weakly, so that ranks spread."""
    identities = rng.integers(1, IDENTITIES + 1, count)
    centres = np.random.default_rng(1).standard_normal((IDENTITIES + 1, length), np.float32)
    features = centres[identities] + 3 * rng.standard_normal((count, length), np.float32)
    return Embeddings(features, identities, rng.integers(1, CAMERAS + 1, count))


def peers(query: Embeddings, gallery: Embeddings) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    found: dict[str, Callable[[], object]] = {
        "matrix product": lambda: query.features @ gallery.features.T,
        "pmm_jax": lambda: evaluate_embeddings(query, gallery),
    }
    if importlib.util.find_spec("torch"):
        from pmm_jax.torch_baseline.evaluate import rank

        found["PyTorch's loop"] = lambda: rank(
            query.features,
            gallery.features,
            query.identities,
            gallery.identities,
            query.cameras,
            gallery.cameras,
        )
    else:
        print("torch is not installed: its row is left out", file=sys.stderr)
    return found


def measure(queries: int, gallery: int, length: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of each, and what ours adds to the memory of the embeddings."""
    rng = np.random.default_rng(0)
    sets = made_up(queries, length, rng), made_up(gallery, length, rng)
    forget_peak()
    before = peak()
    evaluate_embeddings(*sets)
    added = peak() - before
    turns: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, action in peers(*sets).items():
            started = time.perf_counter()
            action()
            turns.setdefault(name, []).append(time.perf_counter() - started)
    rows = {name: {"seconds": float(np.median(spent))} for name, spent in turns.items()}
    for row in rows.values():
        row["ratio"] = row["seconds"] / rows["matrix product"]["seconds"]
    rows["pmm_jax"]["added_bytes"] = added
    return rows


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="Time an evaluation.")
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--length", type=int, default=1536)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.queries, options.gallery, options.length, options.rounds)
    if options.json:
        print(json.dumps(rows))
        return
    for name, row in rows.items():
        added = f"{row['added_bytes'] / 2**30:.2f} GiB more" if "added_bytes" in row else ""
        print(f"{name:<18}{row['seconds']:>9.2f} s{row['ratio']:>8.2f}  {added}")


if __name__ == "__main__":
    main()
