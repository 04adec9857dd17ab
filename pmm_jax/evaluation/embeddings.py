"""The ranking from embeddings, a few queries at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix, integer_labels
from pmm_jax.evaluation.distances import squared_distances
from pmm_jax.evaluation.protocol import Protocol
from pmm_jax.evaluation.ranking import Ranking, rank_rows


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embedded images with their labels."""

    features: np.ndarray
    """(N, D) float32, as the model gives them: not normalised."""
    identities: np.ndarray
    """(N,) integers; in a gallery -1 is junk and 0 a distractor."""
    cameras: np.ndarray
    """(N,) integers."""


def evaluate_embeddings(
    query: Embeddings,
    gallery: Embeddings,
    chunk: int = 256,
    progress: Callable[[int, int], None] | None = None,
    max_rank: int = 50,
) -> Ranking:
    """Rank a gallery by Euclidean distance of the raw embeddings, as `evaluate_distances` does.

    Holds the distances of `chunk` queries and never the whole matrix. Distances are exact on a
    fixed grid (see distances.py), so the result doesn't depend on `chunk`, and identical images
    tie exactly and rank in gallery order.

    Args:
        query: Q images.
        gallery: G images, embedded by the same model.
        chunk: queries whose distances are held at once, as float64.
        progress: called with (queries done, Q) after each chunk.
        max_rank: length of the CMC, at least 10.

    Raises:
        UserError: arrays that don't fit each other, NaN or infinity, or no query with a match.
    """
    if chunk < 1:
        raise UserError(f"chunk is {chunk}; it must be at least 1 (evaluate.chunk)")
    query, gallery = _checked("query", query), _checked("gallery", gallery)
    lengths = query.features.shape[1], gallery.features.shape[1]
    if lengths[0] != lengths[1]:
        raise UserError(
            f"query features have length {lengths[0]} and gallery features {lengths[1]}; "
            "embed both with the same model"
        )
    shape = len(query.features), len(gallery.features)
    protocol = Protocol(query.identities, gallery.identities, query.cameras, gallery.cameras, shape)
    features = gallery.features
    if len(protocol.kept) < len(features):
        features = features[protocol.kept]

    def rows() -> Iterator[np.ndarray]:
        done = 0
        for block in squared_distances(query.features, features, chunk):
            yield from block
            done += len(block)
            if progress is not None:
                progress(done, protocol.queries)

    return rank_rows(protocol, rows(), max_rank)


def _checked(name: str, images: Embeddings) -> Embeddings:
    features = feature_matrix(f"{name} features", images.features)
    count, unit = len(features), f"{name} image"
    return Embeddings(
        features,
        integer_labels(f"{name} identities", images.identities, count, unit),
        integer_labels(f"{name} cameras", images.cameras, count, unit),
    )
