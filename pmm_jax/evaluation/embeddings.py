"""Metrics from embeddings, ranked by Euclidean distance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pmm_jax.distributed.processes import ProcessShard
from pmm_jax.errors import UserError
from pmm_jax.evaluation.checks import feature_matrix, integer_labels
from pmm_jax.evaluation.distances import Distances
from pmm_jax.evaluation.market_protocol import Protocol
from pmm_jax.evaluation.metrics import RankingMetrics, check_max_rank
from pmm_jax.evaluation.streaming import Stream
from pmm_jax.evaluation.verification import true_positive_rates


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embedded images with their labels.

    Example:
        >>> from pmm_jax.evaluation import Embeddings
        >>> images = Embeddings(
        ...     model.embed(["a.jpg", "b.jpg"]),
        ...     identities=np.array([1, 7]),
        ...     cameras=np.array([2, -1]),
        ...     identity_names={7: "Clara"},
        ... )
        >>> images.identity_name(0), images.identity_name(1)
        ('1', 'Clara')
        >>> images.camera_name(0), images.camera_name(1)
        ('2', '')
        >>> images.take(images.cameras >= 0).features.shape
        (1, 1536)
    """

    features: np.ndarray
    """(N, D) float32 or float64, as the model gives them: not normalized."""
    identities: np.ndarray
    """(N,) integers; in a gallery -1 is junk and 0 a distractor."""
    cameras: np.ndarray
    """(N,) integer camera numbers."""
    paths: np.ndarray | None = None
    """(N,) strings, where the images are known by name: one path is one image, in query and gallery
    alike."""
    identity_names: Mapping[int, str] = field(default_factory=dict)
    """Names of identities that the user knows by more than a number."""
    camera_names: Mapping[int, str] = field(default_factory=dict)
    """Names of cameras that the user knows by more than a number."""

    def identity_name(self, image: int) -> str:
        """The identity of an image as the user knows it."""
        number = int(self.identities[image])
        return self.identity_names.get(number, str(number))

    def camera_name(self, image: int) -> str:
        """The camera of an image as the user knows it; empty where it is unknown."""
        number = int(self.cameras[image])
        return self.camera_names.get(number, "" if number < 0 else str(number))

    def take(self, rows: np.ndarray) -> "Embeddings":
        """Some of the images: indices, or a mask."""
        return replace(
            self,
            features=self.features[rows],
            identities=self.identities[rows],
            cameras=self.cameras[rows],
            paths=None if self.paths is None else self.paths[rows],
        )


def evaluate_embeddings(  # noqa: PLR0913
    query: Embeddings,
    gallery: Embeddings,
    query_block: int = 512,
    progress: Callable[[int, int], None] | None = None,
    max_rank: int = 50,
    shard: ProcessShard | None = None,
    first_images: bool = False,
) -> RankingMetrics:
    """Rank a gallery by Euclidean distance of the raw embeddings, as `evaluate_distances` does.

    Distances are those of float64 (see distances.py), so the result depends neither on
    `query_block` nor on the devices, and identical images tie exactly and rank in gallery order.
    Holds the distances of `query_block` queries to 2,048 images a device; for queries with many
    matches those of a few queries to the whole gallery; never the whole matrix, and no list of all
    matches.

    Args:
        query: Q images.
        gallery: G images, embedded by the same model.
        query_block: queries that are compared with a block of the gallery at once.
        progress: called with (gallery images done, all that aren't junk) after each block.
        max_rank: length of the CMC, at least 10.
        shard: of several processes that evaluate together, what this one does; all by default.
        first_images: tell which images come first, too, for about twice the time.

    Raises:
        UserError: arrays that don't fit each other, NaN or infinity, or no query with a match.

    Example:
        >>> from pmm_jax.evaluation import Embeddings, evaluate_embeddings
        >>> query = Embeddings(np.array([[0.0], [5.0]]), np.array([1, 2]), np.array([1, 1]))
        >>> features, identities = np.array([[1.0], [2.0], [4.0], [9.0]]), np.array([1, 2, 2, 1])
        >>> gallery = Embeddings(features, identities, cameras=np.full(4, 2))
        >>> metrics = evaluate_embeddings(query, gallery)
        >>> metrics.rank1, metrics.mAP
        (1.0, 0.875)
    """
    check_max_rank(max_rank)
    _, stream = validated_stream(query, gallery, query_block)
    return stream.query_metrics(progress, shard, first_images).metrics(max_rank)


def roc(query: Embeddings, gallery: Embeddings, query_block: int = 512) -> dict[float, float]:
    """Fraction of the matches that are accepted where 0.01, 0.1 and 1 % of other pairs are.

    Args:
        query: Q images.
        gallery: G images, embedded by the same model.
        query_block: as of `evaluate_embeddings`.

    Returns:
        True positive rate at each false positive rate, 1e-4, 1e-3 and 1e-2 (verification.py).

    Raises:
        UserError: as of `evaluate_embeddings`.

    Example:
        >>> from pmm_jax.evaluation import roc
        >>> {rate: round(accepted, 3) for rate, accepted in roc(query, gallery).items()}
        {0.0001: 0.556, 0.001: 0.625, 0.01: 0.833}
    """
    return true_positive_rates(*validated_stream(query, gallery, query_block))


def validated_stream(
    query: Embeddings, gallery: Embeddings, query_block: int
) -> tuple[Protocol, Stream]:
    """Check that two sets can be compared, and get ready to.

    Raises:
        UserError: as of `evaluate_embeddings`.
    """
    if query_block < 1:
        raise UserError(
            f"query_block is {query_block}; it must be at least 1 (evaluate.query_block)"
        )
    query, gallery = validated("query", query), validated("gallery", gallery)
    lengths = query.features.shape[1], gallery.features.shape[1]
    if lengths[0] != lengths[1]:
        raise UserError(
            f"query features have length {lengths[0]} and gallery features {lengths[1]}; "
            "embed both with the same model"
        )
    shape = len(query.features), len(gallery.features)
    protocol = Protocol(query.identities, gallery.identities, query.cameras, gallery.cameras, shape)
    distances = Distances(query.features, gallery.features)
    return protocol, Stream(protocol, distances, query_block)


def validated(name: str, images: Embeddings) -> Embeddings:
    """Check embeddings; the copy has float32 or float64 features and int64 labels.

    Args:
        name: of the set, for messages.
        images: what to check.

    Raises:
        UserError: arrays that don't fit each other, NaN or infinity.
    """
    features = feature_matrix(f"{name} features", images.features)
    return labeled(name, replace(images, features=features))


def labeled(name: str, images: Embeddings) -> Embeddings:
    """Check labels; the copy has int64 labels.

    Args:
        name: of the set, for messages.
        images: what to check; of the features only their number counts.

    Raises:
        UserError: labels that don't fit the features.
    """
    count, unit = len(images.features), f"{name} image"
    return replace(
        images,
        identities=integer_labels(f"{name} identities", images.identities, count, unit),
        cameras=integer_labels(f"{name} cameras", images.cameras, count, unit),
    )
