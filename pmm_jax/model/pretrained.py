"""The trunk's initial weights: torchvision's ResNet-50, from the hub or from a file."""

import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.errors import UserError
from pmm_jax.model.weights_file import MEND, read_weights

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
"""Torchvision's name for the last part of each of ours."""


def load_resnet50(source: str, params: dict, stats: dict) -> tuple[dict, dict]:
    """The trunk's parameters and statistics with every value taken from torchvision's weights.

    A file is never unpickled beyond its tensors, and there is no fallback: either every value is
    replaced, or an error says why not.

    Args:
        source: `imagenet` (downloaded once by huggingface_hub), a .safetensors file, a .pth, .pt or
            .pth.tar file (needs torch), or `scratch`, which returns the trees as they are.
        params: the trunk's parameters as `init` made them; nested dicts, kernels (H, W, I, O).
        stats: the trunk's BatchNorm statistics, likewise.

    Returns:
        New trees of the same shapes and types.

    Raises:
        UserError: the weights can't be had or read, or don't fit this network name by name.
    """
    if source == "scratch":
        return params, stats
    label, tensors = read_weights(source)
    tensors = _trunk_only(tensors)
    _check(label, tensors, params, stats)

    def filled(tree: dict) -> dict:
        leaves = flatten_dict(tree)
        for path, leaf in leaves.items():
            value = tensors[_torch_key(path)]
            if path[-1] == "kernel":
                value = value.transpose(2, 3, 1, 0)  # OIHW -> HWIO
            # A copy, so that no array shares memory with the file's tensors.
            leaves[path] = jnp.array(value, dtype=leaf.dtype, copy=True)
        return unflatten_dict(leaves)

    return filled(params), filled(stats)


def _trunk_only(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without DataParallel's prefix, the classifier and PyTorch's batch counters."""
    named = {name.removeprefix("module."): value for name, value in tensors.items()}
    return {
        name: value
        for name, value in named.items()
        if name not in ("fc.weight", "fc.bias") and not name.endswith(".num_batches_tracked")
    }


def _torch_key(path: tuple[str, ...]) -> str:
    """`("layer1_0", "downsample_bn", "mean")` is `layer1.0.downsample.1.running_mean`."""
    modules = [
        re.sub(r"^(layer\d+)_(\d+)$", r"\1.\2", module)
        .replace("downsample_conv", "downsample.0")
        .replace("downsample_bn", "downsample.1")
        for module in path[:-1]
    ]
    return ".".join([*modules, LEAVES[path[-1]]])


def _check(label: str, tensors: dict[str, np.ndarray], params: dict, stats: dict) -> None:
    expected = {
        _torch_key(path): _torch_shape(path, leaf.shape)
        for tree in (params, stats)
        for path, leaf in flatten_dict(tree).items()
    }
    common = [name for name in expected if name in tensors]
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "surplus": [name for name in tensors if name not in expected],
        "misshapen": [
            f"{name} {tensors[name].shape} for {expected[name]}"
            for name in common
            if tensors[name].shape != expected[name]
        ],
    }
    found = [f"{len(names)} {fault} ({_few(names)})" for fault, names in faults.items() if names]
    if found:
        raise UserError(
            f"{label} doesn't fit the trunk: {'; '.join(found)}; {_network_mend(params)}"
        )
    for name in common:
        if tensors[name].dtype.kind in "biuc" or not _finite(tensors[name]):
            raise UserError(
                f"{label}: {name} holds {tensors[name].dtype} that isn't finite floating point; "
                f"{MEND}"
            )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _network_mend(params: dict) -> str:
    width = params["conv1"]["kernel"].shape[-1] / 64
    blocks = [re.match(r"layer(\d+)_", name) for name in params]
    layers = [match.group(1) for match in blocks if match]
    depth = " ".join(str(layers.count(layer)) for layer in sorted(set(layers)))
    if width != 1 or depth != "3 4 6 3":
        return (
            f"ImageNet weights need model.width 1 and model.depth 3 4 6 3, and this network has "
            f"width {width:g} and depth {depth}; use those, or --model.weights scratch"
        )
    return f"it must be torchvision's ResNet-50: {MEND}"


def _finite(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(values.astype(np.float32)).all())


def _torch_shape(path: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if path[-1] != "kernel":
        return shape
    height, width, inputs, outputs = shape
    return outputs, inputs, height, width
