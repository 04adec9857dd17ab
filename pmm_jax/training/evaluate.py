"""The test of a model: embed query and gallery, rank, as the data set's protocol says."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from pmm_jax.config import Config
from pmm_jax.data.augment import normalise
from pmm_jax.data.loading import ordered_batches
from pmm_jax.data.prepare import prepare
from pmm_jax.data.split import open_split
from pmm_jax.errors import UserError
from pmm_jax.evaluation import Embeddings, Ranking, evaluate_embeddings
from pmm_jax.evaluation.embed import embed_batches
from pmm_jax.model.initial import initialise
from pmm_jax.model.pmm import Network, Tree, build, embed
from pmm_jax.training.checkpoint import Checkpoints
from pmm_jax.training.run_log import Display
from pmm_jax.training.sharding import data_mesh, split_batch
from pmm_jax.training.workdir import claim

Embed = Callable[[Tree, Tree, jax.Array], jax.Array]
"""params, stats and images (B, H, W, 3) uint8 to embeddings (B, D)."""


def make_embed(network: Network) -> Embed:
    """The jitted embedding function, uint8 images in."""
    return jax.jit(lambda params, stats, images: embed(network, params, stats, normalise(images)))


def embed_split(
    embed_images: Embed, config: Config, params: Tree, stats: Tree, name: str, display: Display
) -> Embeddings:
    """The embeddings of a whole split: `train`, `query` or `gallery`."""
    split = open_split(config.data, name)
    mesh = data_mesh(config.evaluate.batch_size)

    def run(images: np.ndarray) -> jax.Array:
        return embed_images(params, stats, split_batch(mesh, images))

    batches = ordered_batches(split, config.data, config.evaluate.batch_size)
    with display.bar(f"embedding {name}", len(split)) as bar:
        features = embed_batches(run, batches, bar.advance)
    return Embeddings(features, split.identities, split.cameras)


def evaluate(
    embed_images: Embed, config: Config, params: Tree, stats: Tree, display: Display
) -> Ranking:
    """Rank the full gallery for every query."""
    query, gallery = (
        embed_split(embed_images, config, params, stats, name, display)
        for name in ("query", "gallery")
    )
    return evaluate_embeddings(query, gallery, config.evaluate.chunk)


def evaluate_run(config: Config, workdir: Path, display: Display) -> Ranking:
    """Evaluate the checkpoint of a workdir that evaluate.checkpoint names.

    Raises:
        UserError: there is no such run or checkpoint, or it is of another config.
    """
    if not (workdir / "config.json").is_file():
        raise UserError(f"{workdir} holds no run; train one first, or check --workdir")
    claim(workdir, config)
    prepare(config.data, display.say)
    num_ids = len(np.unique(open_split(config.data, "train").identities))
    network = build(config, num_ids)
    with Checkpoints(workdir) as checkpoints:
        best = config.evaluate.checkpoint == "best"
        step = checkpoints.best if best else checkpoints.latest
        if step is None:
            raise UserError(f"{workdir} has no {config.evaluate.checkpoint} checkpoint yet")
        weights = checkpoints.restore_weights(step, initialise(network, seed=0))
    display.say(f"{config.evaluate.checkpoint} checkpoint, step {step}")
    return evaluate(make_embed(network), config, *weights, display)
