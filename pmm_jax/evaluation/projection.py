"""A map of embeddings: which images are on it, and where t-SNE puts them."""

import warnings
from typing import NamedTuple

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.evaluation.embeddings import Embeddings
from pmm_jax.evaluation.market_protocol import JUNK

IDENTITIES = 40
IMAGES = 1200
"""Most on a map, shared out evenly to the identities."""
LEAST_IMAGES = 5
DIMENSIONS = 50
"""Principal components that t-SNE is given."""
PERPLEXITY = 30
ITERATIONS = 500
"""Of t-SNE: 1,000 lower its divergence by another hundredth."""


class MapSample(NamedTuple):
    """Images on a map, those of an identity together, queries first."""

    images: Embeddings
    is_query: np.ndarray
    """(N,) bool."""
    identities: int
    """Identities that could have been chosen."""


def sample_for_map(
    query: Embeddings, gallery: Embeddings, identities: int = IDENTITIES, most: int = IMAGES
) -> MapSample:
    """Choose the queries' identities with the most cameras, among these with the most images.

    Of an identity with too many images they are taken evenly by set and camera.

    Args:
        query: Q images.
        gallery: G images of the same length.
        identities: most to choose.
        most: images of all of them.

    Raises:
        UserError: fewer than two identities or five images.
    """
    images, is_query = _joined(query, gallery)
    names, identity = np.unique(images.identities, return_inverse=True)
    pairs = np.unique(np.stack([identity, images.cameras]), axis=1)
    cameras, sizes = np.bincount(pairs[0]), np.bincount(identity)
    if len(names) < 2 or len(identity) < LEAST_IMAGES:
        raise UserError(
            f"a map needs images of 2 identities and {LEAST_IMAGES} images; the queries have "
            f"{len(names)} and {len(identity)}"
        )
    order = np.lexsort((names, -sizes, -cameras))[:identities]
    each = most // len(order)
    rows = []
    for number in np.sort(order):
        mine = np.flatnonzero(identity == number)
        mine = mine[np.lexsort((mine, images.cameras[mine], ~is_query[mine]))]
        some = np.linspace(0, len(mine) - 1, min(each, len(mine))).round().astype(int)
        rows.append(mine[some])
    chosen = np.concatenate(rows)
    return MapSample(images.take(chosen), is_query[chosen], len(names))


def _joined(query: Embeddings, gallery: Embeddings) -> tuple[Embeddings, np.ndarray]:
    """Both sets' images of the queries' identities, none twice, and which are queries."""
    query_rows = query.identities != JUNK
    gallery_rows = np.isin(gallery.identities, query.identities[query_rows])
    if query.paths is not None and gallery.paths is not None:
        gallery_rows &= ~np.isin(gallery.paths, query.paths[query_rows])
    query, gallery = query.take(query_rows), gallery.take(gallery_rows)
    paths = None
    if query.paths is not None and gallery.paths is not None:
        paths = np.concatenate([query.paths, gallery.paths])
    both = Embeddings(
        np.concatenate([query.features, gallery.features]),
        np.concatenate([query.identities, gallery.identities]),
        np.concatenate([query.cameras, gallery.cameras]),
        paths,
        {**gallery.identity_names, **query.identity_names},
        {**gallery.camera_names, **query.camera_names},
    )
    return both, np.arange(len(both.identities)) < len(query.identities)


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) places by t-SNE (van der Maaten and Hinton, 2008), within 0 to 1.

    In one thread, as sums in several depend on how many there are.

    Args:
        features: (N, D) of at least five images.
        seed: of the principal components and of t-SNE.

    Raises:
        UserError: all images have the same embedding.
    """
    # A second to import, which no other evaluation needs.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if (features == features[0]).all():
        raise UserError("all images have the same embedding, so there is nothing to map")
    with threadpool_limits(1), warnings.catch_warnings():
        # scikit-learn counts the cores, though it gets one; in some containers it can't.
        warnings.filterwarnings("ignore", "Could not find the number of physical cores")
        components = min(DIMENSIONS, *features.shape)
        reduced = PCA(components, random_state=seed).fit_transform(features)
        places = TSNE(
            init="pca",
            perplexity=min(PERPLEXITY, (len(features) - 1) / 3),
            max_iter=ITERATIONS,
            random_state=seed,
        ).fit_transform(reduced)
    places = places - places.min(0)
    return np.asarray(places / places.max(), np.float64)
