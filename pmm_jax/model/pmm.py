"""PMM: trunk, part block and three progressive stages (paper, section 2.1 and Figure 2).

The modules are applied as functions of two dictionaries, `params` and `stats`, whose first keys
name the parts: trunk, part_block, stage1, stage2, stage3. Every training pass through a part
returns that part's new statistics, so that each moves exactly once a step.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from pmm_jax.config import Config, MethodConfig, ModelConfig
from pmm_jax.methods import METHODS, Kind
from pmm_jax.mixing import TrainBatch, grad_cam, mix_features, nearest_negatives
from pmm_jax.mixing.batch_drop import batch_drop
from pmm_jax.model.heads import Pooling, StageHead
from pmm_jax.model.resnet import EXPANSION, LAYER_WIDTHS, Bottleneck, ResNet, scaled

Tree = dict[str, Any]


class Network(NamedTuple):
    """The parts, in the order in which a batch meets them; `baseline` has trunk and stage1."""

    modules: dict[str, nn.Module]
    channels: int
    """Of the feature map that leaves the trunk."""
    compute_dtype: jnp.dtype
    """Of the activations."""

    @property
    def part_heads(self) -> list[str]:
        """The heads that see the part block's map."""
        return [name for name in self.modules if name in ("stage2", "stage3", "drop")]


@struct.dataclass
class StageOutputs:
    """What the stages made of a batch of N images; tuples have an entry for each stage, or for
    each stage after the first. BDB's second branch counts as a stage."""

    embeddings: tuple[jax.Array, ...]
    """(N, embedding_size) each."""
    logits: tuple[jax.Array, ...]
    """(N, identities) each."""
    cams: tuple[jax.Array, ...] = ()
    """(N, h, w): CAM 1 and 2, which pick what stages II and III lose; none of BDB."""
    masks: tuple[jax.Array, ...] = ()
    """(N, h, w) bool: the masks of stages II and III, False where the negative's cells are put."""
    inputs: tuple[jax.Array, ...] = ()
    """(N, h, w, C): the map that each stage saw."""
    part_map: jax.Array | None = None
    """(N, h, w, C): the part block's map, before any mixing."""


def create_model(config: Config, num_ids: int, param_dtype: jnp.dtype = jnp.float32) -> Network:
    """The network that a config names, for that many training identities."""
    kind = METHODS[config.method.name].network
    return create_network(config.model, kind, num_ids, param_dtype, config.method.stages)


def create_network(
    model: ModelConfig,
    kind: Kind,
    num_ids: int,
    param_dtype: jnp.dtype = jnp.float32,
    stages: int = 3,
) -> Network:
    """The parts of a network; of `pmm`, the first stages alone."""
    if kind == "pmm" and stages == 1:
        kind = "baseline"
    planes = scaled(LAYER_WIDTHS[3], model.width)

    def head(pooling: Pooling, size: int = model.embedding_size) -> StageHead:
        chosen = "gem" if model.pooling == "gem" else pooling
        return StageHead(num_ids, chosen, size, param_dtype, model.neck)

    parts: dict[str, nn.Module] = {
        "trunk": ResNet(model.depth, model.width, model.remat, param_dtype)
    }
    if kind != "trunk":
        parts["stage1"] = head("average")
    if kind in ("pmm", "bdb"):
        parts["part_block"] = Bottleneck(planes, param_dtype=param_dtype)
    if kind == "pmm":
        parts["stage2"] = head("max")
    if kind == "pmm" and stages == 3:
        parts["stage3"] = head("max")
    if kind == "bdb":
        parts["drop"] = head("max", 2 * model.embedding_size)
    return Network(parts, EXPANSION * planes, jnp.dtype(model.compute_dtype))


def embed(network: Network, params: Tree, stats: Tree, images: jax.Array) -> jax.Array:
    """The descriptor of each image at test time: no mixing, the stages' embeddings side by side.

    Args:
        network, params, stats: the model.
        images: (N, H, W, 3), normalized.

    Returns:
        (N, D) float32, not normalized: D is embedding_size for each stage of `pmm` and `baseline`,
        3 * embedding_size for `bdb`, the trunk's channels for `trunk`.
    """

    return jnp.concatenate(
        [head(x)[0] for head, x in inference_heads(network, params, stats, images)], axis=1
    )


Head = Callable[[jax.Array], tuple[jax.Array, jax.Array | None]]
"""A map (N, h, w, C) to embedding and logits; a bare trunk has no logits."""


def inference_heads(
    network: Network, params: Tree, stats: Tree, images: jax.Array
) -> list[tuple[Head, jax.Array]]:
    """Each head at test time and the map that it sees; a bare trunk's head is the map's mean.

    Args:
        network, params, stats: the model.
        images: (N, H, W, 3), normalized.
    """

    def run(name: str, x: jax.Array) -> Any:
        variables = {"params": params[name], "batch_stats": stats[name]}
        return network.modules[name].apply(variables, x, False)

    def mean(x: jax.Array) -> tuple[jax.Array, None]:
        return x.astype(jnp.promote_types(x.dtype, jnp.float32)).mean((1, 2)), None

    feature_map = run("trunk", images.astype(network.compute_dtype))
    if "stage1" not in network.modules:
        return [(mean, feature_map)]
    heads: list[tuple[Head, jax.Array]] = [(partial(run, "stage1"), feature_map)]
    if "part_block" in network.modules:
        part_map = run("part_block", feature_map)
        heads += [(partial(run, name), part_map) for name in network.part_heads]
    return heads


def train_forward(
    network: Network,
    method: MethodConfig,
    variables: dict[str, Tree],
    batch: TrainBatch,
    num_shards: int = 1,
) -> tuple[StageOutputs, Tree]:
    """All stages in training mode, each fed what its predecessor's CAM leaves (Figure 2).

    Args:
        network: the modules.
        method: what is mixed.
        variables: `params` and `batch_stats`, each by module.
        batch: of N images, with what the mixing sampled.
        num_shards: parts of the batch that negatives were sampled in (`sample_negatives`).

    Returns:
        The outputs, and the statistics after this batch.
    """
    params, stats = variables["params"], variables["batch_stats"]
    labels, sample = batch.labels, batch.mixing
    new_stats: Tree = {}

    def run(name: str, x: jax.Array) -> Any:
        variables = {"params": params[name], "batch_stats": stats[name]}
        output, updates = network.modules[name].apply(variables, x, True, mutable=["batch_stats"])
        new_stats[name] = updates["batch_stats"]
        return output

    def cam_of(stage: str, feature_map: jax.Array) -> jax.Array:
        variables = jax.lax.stop_gradient({"params": params[stage], "batch_stats": stats[stage]})

        def score(feature_map: jax.Array) -> jax.Array:
            # The same pass as run(stage, ...), which XLA merges with it; its statistics are
            # dropped, because a batch may move them only once.
            output, _ = network.modules[stage].apply(
                variables, feature_map, True, mutable=["batch_stats"]
            )
            return output[1]

        return grad_cam(score, feature_map, labels)

    feature_map = run("trunk", batch.images.astype(network.compute_dtype))
    stage1 = run("stage1", feature_map)
    if "part_block" not in network.modules:
        outputs = StageOutputs((stage1[0],), (stage1[1],), inputs=(feature_map,))
        return outputs, new_stats

    part_map = run("part_block", feature_map)
    if "drop" in network.modules:
        assert sample.corner is not None
        dropped, mask = batch_drop(part_map, sample.corner, method.drop_height)
        second = run("drop", dropped)
        outputs = StageOutputs(
            embeddings=(stage1[0], second[0]),
            logits=(stage1[1], second[1]),
            masks=(mask,),
            inputs=(feature_map, dropped),
            part_map=part_map,
        )
        return outputs, new_stats

    stages, inputs = [stage1], [feature_map]
    cams: list[jax.Array] = []
    masks: list[jax.Array] = []
    for number in range(2, method.stages + 1):
        cams.append(cam_of(f"stage{number - 1}", inputs[-1]))
        # The release mixes into the clean map, so stage I's blocks come back; the paper's words
        # suppress cumulatively.
        base = inputs[-1] if method.cumulative and number > 2 else part_map
        if method.mining == "hardest":
            nearest = nearest_negatives(stages[-1][0], labels, num_shards)
            sample = replace(sample, negatives=(nearest, nearest))
        mixed, mask = mix_features(method, base, cams[-1], sample, number, num_shards)
        stages.append(run(f"stage{number}", mixed))
        inputs.append(mixed)
        masks.append(mask)
    outputs = StageOutputs(
        embeddings=tuple(embedding for embedding, _ in stages),
        logits=tuple(logits for _, logits in stages),
        cams=tuple(cams),
        masks=tuple(masks),
        inputs=tuple(inputs),
        part_map=part_map,
    )
    return outputs, new_stats
