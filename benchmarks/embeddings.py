"""Query and gallery for benchmarks: from a file, or random at a data set's size."""

from __future__ import annotations

import argparse

import numpy as np

from pmm_jax.evaluation import Embeddings, load_features

IDENTITIES, CAMERAS = 750, 6
"""Of Market-1501's test set."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `sets` reads; Market-1501's size by default."""
    parser.add_argument("--embeddings", default="", help="npz file; random embeddings without")
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--length", type=int, default=1536)
    parser.add_argument("--json", action="store_true")


def sets(options: argparse.Namespace) -> tuple[Embeddings, Embeddings]:
    """Query and gallery."""
    if options.embeddings:
        return load_features(options.embeddings)
    rng = np.random.default_rng(0)
    return (
        random_embeddings(options.queries, options.length, rng),
        random_embeddings(options.gallery, options.length, rng),
    )


def random_embeddings(count: int, length: int, rng: np.random.Generator) -> Embeddings:
    """Embeddings that hold their identity weakly, so that ranks spread."""
    identities = rng.integers(1, IDENTITIES + 1, count)
    centers = np.random.default_rng(1).standard_normal((IDENTITIES + 1, length), np.float32)
    features = centers[identities] + 3 * rng.standard_normal((count, length), np.float32)
    return Embeddings(features, identities, rng.integers(1, CAMERAS + 1, count))
