"""Whole models in PyTorch's names: the release's, BDB's and torchvision's, and ours as theirs."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.model.fitting import match_state_dict
from pmm_jax.model.initial import shapes
from pmm_jax.model.pmm import Kind, Network, Tree, create_network
from pmm_jax.model.resnet import LAYER_WIDTHS, scaled
from pmm_jax.model.torch_names import (
    HEADS,
    OWN,
    Path,
    own_module,
    release_name,
    to_torch,
    torchvision_name,
)
from pmm_jax.model.unwrapping import has_ibn_a, unwrap

Tensors = dict[str, np.ndarray]

HINT = (
    "it must be a checkpoint of the PMM release, of BDB, of this project, or a torchvision or timm "
    "ResNet-50"
)


MOST_BLOCKS = 100
"""Most blocks of a layer; ResNet-152's third has 36, and more would take hours to build."""


class Loaded(NamedTuple):
    """A network with its weights."""

    kind: Kind
    model: ModelConfig
    """Sizes of the network, as found in the file."""
    num_ids: int
    network: Network
    params: Tree
    batch_stats: Tree


def load_state_dict(label: str, tensors: Mapping[str, np.ndarray]) -> Loaded:
    """The network that a state dict describes, filled with its values.

    Depth, width, embedding size and number of identities follow from names and shapes; every
    name must then fit.

    Args:
        label: what to call the tensors in a message, such as the file's name.
        tensors: by PyTorch's names, behind any prefix; a classifier that a bare ResNet has no use
            for is left out, and the log says so.

    Raises:
        UserError: no known network, or names that are missing, surplus or misshapen.
    """
    state = unwrap(label, tensors, HINT)
    tensors = state.tensors
    kind = _kind(tensors) if state.is_release else "trunk"
    model, num_ids = _sizes(tensors, kind), _length(tensors, "global_softmax.bias", 1)
    if max(model.stage_sizes) > MOST_BLOCKS or min(model.embedding_size, num_ids) == 0:
        raise UserError(f"{label} describes a network of no possible size; {HINT}")
    network = create_network(model, kind, num_ids, stages=_stages(tensors))
    params, batch_stats = match_state_dict(
        label, state, f"the network it looks like ({kind})", *shapes(network), HINT
    )
    return Loaded(kind, model, num_ids, network, params, batch_stats)


def state_dict(params: Tree, batch_stats: Tree) -> Tensors:
    """A network's values under the release's names (BDB's for `bdb`), in PyTorch's order.

    Complete: `load_state_dict(strict=True)` takes it. BatchNorm's `num_batches_tracked`, which
    PyTorch doesn't use at its default momentum and nothing here counts, is 0. A bare trunk comes
    under torchvision's names, without the classifier.
    """
    naming = release_name if "stage1" in params else _torchvision
    values = {
        naming(path): to_torch(path, np.asarray(value))
        for tree in jax.device_get((params, batch_stats))
        for path, value in flatten_dict(tree).items()
    }
    for name in [name for name in values if name.endswith(".running_var")]:
        counter = name.replace("running_var", "num_batches_tracked")
        values[counter] = np.zeros((), np.int64)
    return {name: values[name] for name in sorted(values, key=_order)}


def _torchvision(path: Path) -> str:
    return torchvision_name(path[1:])


def _kind(tensors: Tensors) -> Kind:
    modules = {name.split(".")[0] for name in tensors}
    if modules & {"reduction1", "softmax1", "reduction2", "softmax2"}:
        return "pmm"
    return "bdb" if modules & {"reduction", "softmax"} else "baseline"


def _stages(tensors: Tensors) -> int:
    """Number of stages of a `pmm`; a network of two has no weights of the third."""
    return 3 if any(name.startswith(("reduction2.", "softmax2.")) for name in tensors) else 2


def _sizes(tensors: Tensors, kind: Kind) -> ModelConfig:
    layers = [f"layer{n}" for n in (1, 2, 3, 4)]
    if kind != "trunk":
        layers = ["backbone.4", "backbone.5", "backbone.6", "res_part"]
    # A layer without any block gets as many as ResNet-50 has, so that they are named as missing.
    blocks = [
        _blocks(tensors, f"{layer}.") or usual
        for layer, usual in zip(layers, ModelConfig().stage_sizes, strict=True)
    ]
    channels = [_length(tensors, f"{layer}.0.conv1.weight", 0) for layer in layers]
    return ModelConfig(
        pooling="gem" if "global_pooling.p" in tensors else "avg_max",
        neck="bnneck" if "global_neck.weight" in tensors else "bn_relu",
        ibn_a=has_ibn_a(tensors),
        stage_sizes=(blocks[0], blocks[1], blocks[2], blocks[3]),
        width=_width(channels),
        embedding_size=_length(tensors, "global_reduction.0.weight", 512),
    )


def _blocks(tensors: Tensors, layer: str) -> int:
    names = (name.removeprefix(layer) for name in tensors if name.startswith(layer))
    return len({name.split(".")[0] for name in names})


def _width(channels: list[int]) -> float:
    """A width that gives these channels in layer1..layer4; 1 where there is none."""
    # Channels are rounded to multiples of 8, so each layer leaves a range; layer4's is narrowest.
    candidates = [found / full for found, full in zip(channels, LAYER_WIDTHS, strict=True)]
    low = max((found - 4) / full for found, full in zip(channels, LAYER_WIDTHS, strict=True))
    high = min((found + 4) / full for found, full in zip(channels, LAYER_WIDTHS, strict=True))
    for width in (*reversed(candidates), (low + high) / 2):
        if width > 0 and [scaled(full, width) for full in LAYER_WIDTHS] == channels:
            return width
    return 1.0


def _length(tensors: Tensors, name: str, default: int) -> int:
    value = tensors.get(name)
    return default if value is None or not value.ndim else len(value)


def _order(name: str) -> tuple[Any, ...]:
    """PyTorch's order: modules as the release's constructor makes them, then each one's own."""
    modules = ["backbone", "res_part", *HEADS["stage1"][::-1], "res_part2"]
    modules += [module for head in ("stage2", "stage3", "drop") for module in HEADS[head]]
    modules += [own_module(head, module) for head in HEADS for module in OWN]
    inner = ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample", "IN", "BN"]
    modules += ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
    leaves = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "p"]
    first, *middle, leaf = name.split(".")
    numbers = [int(word) if re.fullmatch(r"\d+", word) else inner.index(word) for word in middle]
    return modules.index(first), numbers, leaves.index(leaf)
