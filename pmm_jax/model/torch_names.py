"""PyTorch's names and shapes for our arrays, and back: one rule for every set of weights.

| ours | torchvision and timm | the release and BDB |
|---|---|---|
| `trunk/conv1`, `trunk/bn1` | `conv1`, `bn1` | `backbone.0`, `backbone.1` |
| `trunk/layer1_0` to `layer3_*` | `layer1.0` to `layer3.*` | `backbone.4.0` to `backbone.6.*` |
| `trunk/layer4_*` | `layer4.*` | `res_part.*` |
| `part_block` | - | `res_part2` |
| `stage1/reduction`, `bn`, `classifier` | - | `global_reduction.0`, `.1`, `global_softmax` |
| `stage2/...`, `stage3/...` | - | `reduction1`, `softmax1`, `reduction2`, `softmax2` |
| `drop/...` | - | BDB's `reduction`, `softmax` |
| a head's `pooling` and `neck`, if any | - | `global_pooling`, `neck1`, ...: names of our own |

Convolutions are (H, W, I, O) here and (O, I, H, W) there, linear layers (in, out) and (out, in).
Stage I's reduction is a linear layer here and a 1x1 convolution (O, I, 1, 1) in the release.
"""

import re

import numpy as np

Path = tuple[str, ...]

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
    "power": "p",
}
"""PyTorch's name for the last part of each of ours."""

HEADS = {
    "stage1": ("global_reduction", "global_softmax"),
    "stage2": ("reduction1", "softmax1"),
    "stage3": ("reduction2", "softmax2"),
    "drop": ("reduction", "softmax"),
}
"""The release's reduction and classifier of each head; `drop` is the second branch of BDB."""

OWN = ("pooling", "neck")
"""Parts of a head that the release has not."""


def own_module(part: str, module: str) -> str:
    """Our own name for such a part of a head: `("stage2", "neck")`: `neck1`."""
    return HEADS[part][0].replace("reduction", module)


def torchvision_name(path: Path) -> str:
    """`("layer1_0", "downsample_bn", "mean")`: `layer1.0.downsample.1.running_mean`."""
    modules = [
        re.sub(r"^(layer\d+)_(\d+)$", r"\1.\2", module)
        .replace("downsample_conv", "downsample.0")
        .replace("downsample_bn", "downsample.1")
        for module in path[:-1]
    ]
    return ".".join([*modules, LEAVES[path[-1]]])


def release_name(path: Path) -> str:
    """`("trunk", "layer4_0", "conv1", "kernel")`: `res_part.0.conv1.weight`."""
    part, *rest = path
    if part == "trunk":
        first, _, tail = torchvision_name(tuple(rest)).partition(".")
        stem = {"conv1": "backbone.0", "bn1": "backbone.1", "layer4": "res_part"}
        return f"{stem.get(first) or f'backbone.{int(first[-1]) + 3}'}.{tail}"
    if part == "part_block":
        return f"res_part2.{torchvision_name(tuple(rest))}"
    reduction, classifier = HEADS[part]
    module = {"reduction": f"{reduction}.0", "bn": f"{reduction}.1", "classifier": classifier}
    module |= {name: own_module(part, name) for name in OWN}
    return f"{module[rest[0]]}.{LEAVES[rest[1]]}"


def torch_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that PyTorch gives an array of ours; `path` begins with the part."""
    if path[-1] != "kernel":
        return shape
    *window, inputs, outputs = shape
    if path[:2] == ("stage1", "reduction"):
        window = [1, 1]
    return (outputs, inputs, *window)


def to_torch(path: Path, value: np.ndarray) -> np.ndarray:
    """An array of ours in PyTorch's layout."""
    if path[-1] == "kernel":
        axes = (3, 2, 0, 1) if value.ndim == 4 else (1, 0)
        value = value.transpose(axes).reshape(torch_shape(path, value.shape))
    return np.ascontiguousarray(value)


def from_torch(path: Path, value: np.ndarray) -> np.ndarray:
    """PyTorch's array in our layout."""
    if path[-1] == "kernel":
        if path[:2] == ("stage1", "reduction"):
            value = value[:, :, 0, 0]
        value = value.transpose((2, 3, 1, 0) if value.ndim == 4 else (1, 0))
    return np.ascontiguousarray(value)
