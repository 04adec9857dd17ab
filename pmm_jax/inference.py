"""Embeddings and CAMs of images, for training, evaluation and the API alike.

Each is one jitted function that takes uint8 images; `map_batches` feeds it many of them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pmm_jax.config import Config
from pmm_jax.data.augment import normalize
from pmm_jax.data.loading import ordered_batches
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import Split, open_split
from pmm_jax.display import Display
from pmm_jax.distributed.processes import assert_equal, run_or_abort_all
from pmm_jax.distributed.sharding import (
    data_mesh,
    local_rows,
    replicated,
    shard_pytree,
    split_batch,
)
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings
from pmm_jax.evaluation.evaluate import check_protocol
from pmm_jax.methods import create_model
from pmm_jax.model.explain import classify, match_cams, stage_cams
from pmm_jax.model.initial import shapes
from pmm_jax.model.pmm import Network, Tree, embed
from pmm_jax.workdir.restore import restore_run
from pmm_jax.workdir.run_config import data_fingerprint, shared_fields

T = TypeVar("T")
Embed = Callable[[Tree, Tree, jax.Array], jax.Array]
"""params, batch_stats and images (B, H, W, 3) uint8 to embeddings (B, D)."""


def make_embed(
    network: Network, flip_average: bool = False, mesh: jax.sharding.Mesh | None = None
) -> Embed:
    """The jitted embedding function, uint8 images in.

    Args:
        network: what embeds.
        flip_average: give the mean of an image's embedding and its mirror image's.
        mesh: devices that the images are split over; each gets all embeddings of the batch.
    """

    def run(params: Tree, batch_stats: Tree, images: jax.Array) -> jax.Array:
        if not flip_average:
            return embed(network, params, batch_stats, normalize(images))
        # Each image beside its mirror image, so that the pairs stay on the image's device.
        pairs = jnp.stack([images, images[:, :, ::-1]], axis=1)
        embeddings = embed(
            network, params, batch_stats, normalize(pairs.reshape(-1, *images.shape[1:]))
        )
        return embeddings.reshape(len(images), 2, -1).mean(1)

    return jax.jit(run) if mesh is None else jax.jit(run, out_shardings=replicated(mesh))


def make_classify(network: Network) -> Callable[..., jax.Array]:
    """`classify` of a network, jitted: (params, batch_stats, uint8 images)."""

    def run(params: Tree, batch_stats: Tree, images: jax.Array) -> jax.Array:
        return classify(network, params, batch_stats, normalize(images))

    return jax.jit(run)


def make_explain(network: Network) -> Callable[..., jax.Array]:
    """`stage_cams` of a network, jitted: (params, batch_stats, uint8 images, labels=None)."""

    def run(
        params: Tree, batch_stats: Tree, images: jax.Array, labels: jax.Array | None = None
    ) -> jax.Array:
        return stage_cams(network, params, batch_stats, normalize(images), labels)

    return jax.jit(run)


def make_explain_pair(network: Network) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """`match_cams` of a network, jitted: (params, batch_stats, uint8 images, others)."""

    def run(
        params: Tree, batch_stats: Tree, images: jax.Array, others: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return match_cams(network, params, batch_stats, normalize(images), normalize(others))

    return jax.jit(run)


def map_batches(
    run: Callable[[Any], Any],
    batches: Iterable[tuple[Any, int]],
    progress: Callable[[int], None] | None = None,
) -> Any:
    """Run a jitted function on every batch and join the results, with the device kept busy.

    Args:
        run: a batch, such as images (B, H, W, 3) uint8, to an array (B, ...) or a tuple of such,
            asynchronous.
        batches: what `run` takes, and how many rows of it count; all of one shape, so that nothing
            recompiles.
        progress: called with the number of rows finished since its last call.

    Returns:
        (N, ...) float32, or a tuple of such.
    """
    done: list[Any] = []
    for result, count in stream_batches(run, batches):
        done.append(jax.tree.map(lambda array, n=count: array[:n], result))
        if progress is not None:
            progress(count)
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *done)


def stream_batches(
    run: Callable[[Any], Any], batches: Iterable[tuple[Any, T]]
) -> Iterator[tuple[Any, T]]:
    """Run a jitted function on every batch, with the device kept busy.

    Args:
        run: as of `map_batches`.
        batches: what `run` takes, and what belongs to it.

    Yields:
        The results of a batch, (B, ...) float32 or a tuple of such, and what belongs to it.
    """

    def finish(result: Any) -> Any:
        return jax.tree.map(lambda array: np.asarray(array, np.float32), result)

    pending: tuple[Any, T] | None = None
    for batch, own in batches:
        # The next batch is under way before the host waits for the one before it.
        started = run(batch), own
        if pending is not None:
            yield finish(pending[0]), pending[1]
        pending = started
    if pending is not None:
        yield finish(pending[0]), pending[1]


def embed_split(
    embed_images: Embed,
    config: Config,
    params: Tree,
    batch_stats: Tree,
    name: str,
    display: Display,
) -> Embeddings:
    """The embeddings of a whole split: `train`, `query` or `gallery`."""
    split = open_split(config.data, name)
    size = config.evaluate.batch_size
    mesh = data_mesh(size)

    def run(images: np.ndarray) -> jax.Array:
        return embed_images(params, batch_stats, split_batch(mesh, images, size))

    batches = ordered_batches(split, config.data, size, local_rows(mesh, size))
    with display.bar(f"embedding {name}", len(split)) as bar:
        features = map_batches(run, batches, bar.advance)
    paths = np.asarray(split.filenames)
    return Embeddings(
        features, split.identities, split.cameras, paths, split.names, split.camera_names
    )


def embed_query_gallery(
    embed_images: Embed, config: Config, params: Tree, batch_stats: Tree, display: Display
) -> tuple[Embeddings, Embeddings]:
    """The embeddings of query and gallery."""
    query = embed_split(embed_images, config, params, batch_stats, "query", display)
    return query, embed_split(embed_images, config, params, batch_stats, "gallery", display)


def embed_with_weights(
    network: Network, config: Config, params: Tree, batch_stats: Tree, display: Display
) -> tuple[Embeddings, Embeddings]:
    """The embeddings of query and gallery on all devices, by weights that are still on the host."""
    mesh = data_mesh(config.evaluate.batch_size)
    params, batch_stats = shard_pytree((params, batch_stats), replicated(mesh))
    embed_images = make_embed(network, config.evaluate.flip_average, mesh)
    return embed_query_gallery(embed_images, config, params, batch_stats, display)


def check_evaluation(config: Config) -> Split:
    """Find out before any work what would end it at the evaluation.

    Returns:
        The query split.

    Raises:
        UserError: no query or gallery, a batch that the devices can't share, or a ranking that
            these images don't allow.
    """
    query, gallery = (open_split(config.data, name) for name in ("query", "gallery"))
    check_protocol(
        query.identities,
        query.cameras,
        gallery.identities,
        gallery.cameras,
        config.evaluate,
        query_paths=query.filenames,
        gallery_paths=gallery.filenames,
        length=_embedding_length(config) if config.evaluate.faiss_index else None,
    )
    data_mesh(config.evaluate.batch_size)
    return query


def _embedding_length(config: Config) -> int:
    network = create_model(config, 1)
    images = jax.ShapeDtypeStruct((1, *config.data.image_size, 3), jnp.float32)
    return jax.eval_shape(partial(embed, network), *shapes(network), images).shape[1]


def embed_run(
    config: Config, workdir: Path, display: Display, cross_domain: bool = False
) -> tuple[Embeddings, Embeddings]:
    """Query and gallery as the checkpoint of a workdir embeds them that evaluate.checkpoint names.

    Args:
        config: the run's own, with the evaluation's data and settings.
        workdir: of the run.
        display: shows progress.
        cross_domain: allow other images than those that the run was trained on.

    Raises:
        UserError: there is no such run or checkpoint, or the images are not the run's.
    """
    check_images_of_run(config, workdir, display, cross_domain)
    _, network, params, batch_stats = restore_run(workdir, config.evaluate.checkpoint, display.info)
    return embed_with_weights(network, config, params, batch_stats, display)


def check_images_of_run(
    config: Config, workdir: Path, display: Display, cross_domain: bool = False
) -> None:
    """Prepare and check the images that `embed_run` embeds; takes and raises the same."""

    def check() -> str:
        prepare(config.data, display.info, True, config.evaluate.cameras)
        split = check_evaluation(config)
        own = data_fingerprint(workdir)
        if own and own != split.fingerprint and not cross_domain:
            raise UserError(
                f"the images of {config.data.root} are not those that the run in {workdir} was "
                "trained on; bring them back, or evaluate on another set with --cross-domain"
            )
        return split.fingerprint

    assert_equal("images", run_or_abort_all(check))
    assert_equal("configs", shared_fields(config))
