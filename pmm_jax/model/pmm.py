"""PMM: trunk, part block and three progressive stages (paper, section 2.1 and Figure 2).

The modules are applied as functions of two dictionaries, `params` and `batch_stats`, whose first
keys name the parts: trunk, part_block, stage1, stage2, stage3. Every training pass through a part
returns that part's new statistics, so that each moves exactly once a step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from pmm_jax.config import ModelConfig
from pmm_jax.mixing import grad_cam
from pmm_jax.model.heads import Pooling, StageHead
from pmm_jax.model.initializers import kaiming_normal, torch_default
from pmm_jax.model.resnet import EXPANSION, LAYER_WIDTHS, Bottleneck, ResNet, scaled

Tree = dict[str, Any]

Kind = Literal["pmm", "baseline", "bdb", "trunk"]
"""Kind of a network. `pmm` has three heads; `baseline` is the trunk with stage I; `bdb` has BDB's
second branch in place of stages II and III; `trunk` has no head, and the spatial mean of its map is
the embedding."""


class Network(NamedTuple):
    """The parts, in the order in which a batch meets them; `baseline` has trunk and stage1."""

    modules: dict[str, nn.Module]
    channels: int
    """Channels of the trunk's feature map."""
    compute_dtype: jnp.dtype
    """Type of the activations."""

    @property
    def part_heads(self) -> list[str]:
        """The heads that see the part block's map."""
        return [name for name in self.modules if name in ("stage2", "stage3", "drop")]

    @property
    def embedding_sizes(self) -> dict[str, int]:
        """Length of each head's part of the embedding, in order; `trunk` of a bare trunk."""
        heads = {
            name: module.embedding_size
            for name, module in self.modules.items()
            if isinstance(module, StageHead)
        }
        return heads or {"trunk": self.channels}


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
        # The release writes the first one's reduction as a convolution, and samples it as such.
        init = kaiming_normal("fan_in" if pooling == "average" else "fan_out")
        return StageHead(num_ids, chosen, size, param_dtype, model.neck, init)

    parts: dict[str, nn.Module] = {
        "trunk": ResNet(
            model.stage_sizes,
            model.width,
            model.remat,
            param_dtype,
            model.zero_init_last,
            model.ibn_a,
        )
    }
    if kind != "trunk":
        parts["stage1"] = head("average")
    if kind in ("pmm", "bdb"):
        # The release leaves it as PyTorch samples it.
        parts["part_block"] = Bottleneck(
            planes,
            param_dtype=param_dtype,
            kernel_init=torch_default(),
            zero_init_last=model.zero_init_last,
        )
    if kind == "pmm":
        parts["stage2"] = head("max")
    if kind == "pmm" and stages == 3:
        parts["stage3"] = head("max")
    if kind == "bdb":
        parts["drop"] = head("max", 2 * model.embedding_size)
    return Network(parts, EXPANSION * planes, jnp.dtype(model.compute_dtype))


def embed(network: Network, params: Tree, batch_stats: Tree, images: jax.Array) -> jax.Array:
    """The descriptor of each image at test time: no mixing, the stages' embeddings side by side.

    Args:
        network: the modules.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        images: (N, H, W, 3), normalized.

    Returns:
        (N, D) float32, not normalized: D is embedding_size for each stage of `pmm` and `baseline`,
        3 * embedding_size for `bdb`, the trunk's channels for `trunk`.
    """
    return jnp.concatenate(
        [head(x)[0] for head, x in inference_heads(network, params, batch_stats, images)], axis=1
    )


Head = Callable[[jax.Array], tuple[jax.Array, jax.Array | None]]
"""A map (N, h, w, C) to embedding and logits; a bare trunk has no logits."""


def inference_heads(
    network: Network, params: Tree, batch_stats: Tree, images: jax.Array
) -> list[tuple[Head, jax.Array]]:
    """Each head at test time and the map that it sees; a bare trunk's head is the map's mean.

    Args:
        network: the modules.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        images: (N, H, W, 3), normalized.
    """

    def run(name: str, x: jax.Array) -> Any:
        variables = {"params": params[name], "batch_stats": batch_stats[name]}
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


class TrainPass:
    """One training pass through a network: each module moves its statistics exactly once.

    Args:
        network: the modules.
        variables: `params` and `batch_stats`, each by module.
        frozen: modules that are applied as at test time, and pass no gradient to their parameters.
    """

    def __init__(
        self, network: Network, variables: dict[str, Tree], frozen: tuple[str, ...] = ()
    ) -> None:
        self._network, self._variables, self._frozen = network, variables, frozen
        self.batch_stats: Tree = {}
        """After this batch, of the modules that were applied."""

    def __call__(self, name: str, x: jax.Array) -> Any:
        """Apply a module: a map (N, h, w, C) to a map, or to a head's embedding and logits."""
        variables, train = self._of(name), name not in self._frozen
        if not train:
            variables = jax.lax.stop_gradient(variables)
        output, updates = self._apply(name, variables, x, train)
        self.batch_stats[name] = updates["batch_stats"]
        return output

    def feature_map(self, images: jax.Array) -> jax.Array:
        """The trunk's map of images (N, H, W, 3), normalized: (N, H / 16, W / 16, C)."""
        x = self("trunk", images.astype(self._network.compute_dtype))
        assert isinstance(x, jax.Array)
        return x

    def cam(self, head: str, feature_map: jax.Array, labels: jax.Array) -> jax.Array:
        """(N, h, w): where a head finds identities (N,), by Grad-CAM; no gradient goes through."""
        variables = jax.lax.stop_gradient(self._of(head))
        # The same pass as self(head, ...), which XLA merges with it; its statistics are dropped,
        # because a batch may move them only once.
        return grad_cam(lambda x: self._apply(head, variables, x)[0][1], feature_map, labels)

    def _of(self, name: str) -> dict[str, Tree]:
        return {kind: tree[name] for kind, tree in self._variables.items()}

    def _apply(
        self, name: str, variables: dict[str, Tree], x: jax.Array, train: bool = True
    ) -> Any:
        return self._network.modules[name].apply(variables, x, train, mutable=["batch_stats"])
