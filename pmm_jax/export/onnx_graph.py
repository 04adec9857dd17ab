"""The network as an ONNX graph: NCHW, batch normalization folded into the layer before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pmm_jax.data.augment import MEAN, STD
from pmm_jax.errors import UserError, missing_extra
from pmm_jax.export.presets import Preset
from pmm_jax.model.heads import SMALLEST, StageHead
from pmm_jax.model.layers import BatchNorm
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.model.resnet import LAYER_STRIDES, ResNet

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
IR_VERSION = 10
"""The newest that BoxMOT's runtimes read."""
STAGES = {"stage1", "stage2", "stage3"}
LARGEST = 2**31 - 2**20
"""Bytes of the weights: Protocol Buffers end at 2 GiB, names and nodes included."""


def make_onnx(
    network: Network,
    params: Tree,
    batch_stats: Tree,
    image_size: tuple[int, int],
    preset: Preset,
    heads: list[str],
) -> ModelProto:
    """The graph from a consumer's input to the embedding that `model.pmm.embed` computes.

    Args:
        network: the modules.
        params: of the network, by module.
        batch_stats: running statistics, likewise.
        image_size: height and width that the network sees.
        preset: what the consumer feeds, and under which names.
        heads: whose embeddings come side by side (`chosen_heads`); of a bare trunk none.

    Returns:
        A model in float32 whose batch is free and named `batch`.

    Raises:
        UserError: onnx is not installed, or the network is too large for one file.
    """
    graph = _Graph()

    def module(name: str) -> _Module:
        return _Module(name, params[name], batch_stats[name])

    resnet = network.modules["trunk"]
    assert isinstance(resnet, ResNet)
    images = _preprocess(graph, preset, image_size)
    x = feature_map = _trunk(graph, resnet, module("trunk"), images, preset)
    embeddings = []
    for name in heads:
        if name in network.part_heads and x == feature_map:
            x = _bottleneck(graph, module("part_block"), x)
        head = network.modules[name]
        assert isinstance(head, StageHead)
        embeddings.append(_head(graph, head, module(name), x))
    if not heads:
        _pool(graph, "trunk", "GlobalAveragePool", x)
    if len(heads) > 1:
        graph.add("Concat", "embedding", *embeddings, axis=1)
    return graph.finish(preset, image_size, embedding_size(network, heads))


def chosen_heads(network: Network, stages: int) -> list[str]:
    """The heads of the first stages; all heads of the network where `stages` is 0.

    Raises:
        UserError: the network has no stages, or not so many.
    """
    heads = [name for name, part in network.modules.items() if isinstance(part, StageHead)]
    if not stages:
        return heads
    if not heads or not set(heads) <= STAGES:
        raise UserError(f"--stages {stages}: this model has no stages; leave it out")
    if stages > len(heads):
        raise UserError(f"--stages {stages}: this model has {len(heads)}; give that or less")
    return heads[:stages]


def embedding_size(network: Network, heads: list[str]) -> int:
    """Length of the heads' embeddings side by side; without heads, of a bare trunk's."""
    return sum(network.embedding_sizes[name] for name in heads) if heads else network.channels


class _Module(NamedTuple):
    """A module's name in the graph, and its own variables."""

    name: str
    params: Tree
    batch_stats: Tree

    def child(self, name: str) -> _Module:
        dotted = f"{self.name}.{name.replace('_', '.')}"
        return _Module(dotted, self.params[name], self.batch_stats[name])

    def folded(self, layer: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of a layer together with its batch normalization, in float64."""

        def wide(tree: Tree) -> dict[str, np.ndarray]:
            return {name: np.asarray(value, np.float64) for name, value in tree.items()}

        values, stats = wide(self.params[layer]), wide(self.batch_stats[norm])
        affine = wide(self.params[norm])
        factor = affine["scale"] / np.sqrt(stats["var"] + BatchNorm.eps)
        bias = affine["bias"] + (values.get("bias", 0.0) - stats["mean"]) * factor
        return values["kernel"] * factor, bias


class _Graph:
    """Nodes and constants; a node is named as the array that it computes."""

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError:
            raise missing_extra("ONNX export", "export") from None
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}

    def add(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        node = self._onnx.helper.make_node(op, inputs, [name], name=name, **attributes)
        self._nodes.append(node)
        return name

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        self._constants[name] = np.ascontiguousarray(value, dtype)
        return name

    def conv(self, name: str, x: str, kernel: np.ndarray, bias: np.ndarray, stride: int = 1) -> str:
        """Convolution by a kernel (k, k, C, D) with PyTorch's symmetric padding."""
        size = kernel.shape[0]
        weight = self.constant(f"{name}.weight", kernel.transpose(3, 2, 0, 1))
        return self.add(
            "Conv",
            name,
            x,
            weight,
            self.constant(f"{name}.bias", bias),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[(size - 1) // 2] * 4,
        )

    def relu(self, name: str, x: str) -> str:
        return self.add("Relu", name, x)

    def finish(self, preset: Preset, image_size: tuple[int, int], length: int) -> ModelProto:
        """The model whose output is what the last node computes."""
        if sum(value.nbytes for value in self._constants.values()) > LARGEST:
            raise UserError("the network doesn't fit into the 2 GiB of an ONNX file")
        helper, types = self._onnx.helper, self._onnx.TensorProto
        kind = types.UINT8 if preset.dtype == "uint8" else types.FLOAT
        self._nodes[-1].output[0] = preset.output
        graph = helper.make_graph(
            self._nodes,
            "embedding",
            [
                helper.make_tensor_value_info(
                    preset.input, kind, ["batch", *preset.shape(image_size)]
                )
            ],
            [helper.make_tensor_value_info(preset.output, types.FLOAT, ["batch", length])],
            [
                self._onnx.numpy_helper.from_array(value, name)
                for name, value in self._constants.items()
            ],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="pmm_jax",
        )


def _preprocess(graph: _Graph, preset: Preset, image_size: tuple[int, int]) -> str:
    """The input as normalized images (N, 3, H, W), colors still in the input's order."""
    x = preset.input
    if preset.layout == "NHWC":
        x = graph.add("Transpose", "preprocess.transpose", x, perm=[0, 3, 1, 2])
    if preset.dtype == "uint8":
        x = graph.add("Cast", "preprocess.cast", x, to=1)  # TensorProto.FLOAT
    if preset.size(image_size) != image_size:
        # Sizes, not scales: rounded to float32, those could lose a column.
        start = graph.add("Shape", "preprocess.batch", preset.input, start=0, end=2)
        end = graph.constant("preprocess.image_size", image_size, np.int64)
        sizes = graph.add("Concat", "preprocess.sizes", start, end, axis=0)
        x = graph.add("Resize", "preprocess.resize", x, "", "", sizes, mode="linear")
    if preset.range == "normalized":
        return x
    # As `data.augment.normalize` does it, so that rounding is alike.
    for op, values in (("Mul", 1 / (preset.highest * STD)), ("Add", -MEAN / STD)):
        name = f"preprocess.{op.lower()}"
        constant = graph.constant(f"{name}.value", preset.in_order(values)[:, None, None])
        x = graph.add(op, name, x, constant)
    return x


def _trunk(graph: _Graph, resnet: ResNet, trunk: _Module, x: str, preset: Preset) -> str:
    kernel, bias = trunk.folded("conv1", "bn1")
    # The other order of colors is the other order of the kernel's planes: no node turns them.
    kernel = preset.in_order(kernel.swapaxes(2, 3)).swapaxes(2, 3)
    x = graph.relu("trunk.relu", graph.conv("trunk.conv1", x, kernel, bias, 2))
    x = graph.add(
        "MaxPool", "trunk.maxpool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    for layer, blocks in enumerate(resnet.stage_sizes):
        for block in range(blocks):
            stride = LAYER_STRIDES[layer] if block == 0 else 1
            x = _bottleneck(graph, trunk.child(f"layer{layer + 1}_{block}"), x, stride)
    return x


def _bottleneck(graph: _Graph, block: _Module, x: str, stride: int = 1) -> str:
    name, shortcut = block.name, x
    if "IN" in block.params["bn1"]:
        x = _instance_batch_norm(graph, block, x)
    else:
        x = graph.conv(f"{name}.conv1", x, *block.folded("conv1", "bn1"))
    x = graph.relu(f"{name}.relu1", x)
    x = graph.conv(f"{name}.conv2", x, *block.folded("conv2", "bn2"), stride)
    x = graph.relu(f"{name}.relu2", x)
    x = graph.conv(f"{name}.conv3", x, *block.folded("conv3", "bn3"))
    if "downsample_conv" in block.params:
        folded = block.folded("downsample_conv", "downsample_bn")
        shortcut = graph.conv(f"{name}.downsample", shortcut, *folded, stride)
    return graph.relu(f"{name}.relu3", graph.add("Add", f"{name}.add", x, shortcut))


def _instance_batch_norm(graph: _Graph, block: _Module, x: str) -> str:
    """conv1 with IBN, as two convolutions: an image's own statistics can't be folded into one."""
    name, kernel, norm = block.name, block.params["conv1"]["kernel"], block.child("bn1")
    half = kernel.shape[-1] // 2
    unfolded = np.asarray(kernel[..., :half])
    first = graph.conv(f"{name}.conv1.IN", x, unfolded, np.zeros(half))
    affine = [
        graph.constant(f"{norm.name}.IN.{leaf}", norm.params["IN"][leaf])
        for leaf in ("scale", "bias")
    ]
    first = graph.add(
        "InstanceNormalization", f"{norm.name}.IN", first, *affine, epsilon=BatchNorm.eps
    )
    params = {**norm.params, "conv1": {"kernel": kernel[..., half:]}}
    folded = norm._replace(params=params).folded("conv1", "BN")
    return graph.add(
        "Concat", f"{norm.name}.concat", first, graph.conv(f"{name}.conv1.BN", x, *folded), axis=1
    )


def _head(graph: _Graph, head: StageHead, module: _Module, x: str) -> str:
    name = module.name
    if head.pooling == "gem":
        pooled = _generalized_mean(graph, name, module.params["pooling"]["power"], x)
    else:
        op = "GlobalMaxPool" if head.pooling == "max" else "GlobalAveragePool"
        pooled = _pool(graph, name, op, x)
    is_bnneck = head.neck == "bnneck"
    weight, bias = module.folded("reduction", "neck" if is_bnneck else "bn")
    names = (
        graph.constant(f"{name}.reduction.weight", weight),
        graph.constant(f"{name}.reduction.bias", bias),
    )
    reduced = graph.add("Gemm", f"{name}.reduction", pooled, *names)
    return reduced if is_bnneck else graph.relu(f"{name}.relu", reduced)


def _pool(graph: _Graph, name: str, op: str, x: str) -> str:
    return graph.add("Flatten", f"{name}.flatten", graph.add(op, f"{name}.pool", x))


def _generalized_mean(graph: _Graph, name: str, power: Any, x: str) -> str:
    p = float(np.asarray(power)[0])
    smallest = graph.constant(f"{name}.pool.smallest", SMALLEST)
    x = graph.add("Max", f"{name}.pool.max", x, smallest)
    x = graph.add("Pow", f"{name}.pool.power", x, graph.constant(f"{name}.pool.p", p))
    x = _pool(graph, name, "GlobalAveragePool", x)
    return graph.add("Pow", f"{name}.pool.root", x, graph.constant(f"{name}.pool.1/p", 1 / p))
