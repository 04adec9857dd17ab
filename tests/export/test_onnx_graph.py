"""The graph computes what the network computes, and is what an engineer would draw."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.export.onnx_check import reference, relative_differences, run_onnx
from pmm_jax.export.onnx_graph import chosen_heads, make_onnx
from pmm_jax.export.presets import PRESETS
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Kind, Network, Tree, create_network
from tests.extras import needs_export

pytestmark = needs_export
SIZES = ModelConfig(stage_sizes=(1, 2, 1, 1), width=0.125, embedding_size=16)
FULL = ModelConfig()
GEM = {"pooling": "gem", "neck": "bnneck"}
IBN = {"ibn_a": True}
TRUNK = {"Conv", "Relu", "Add", "MaxPool"}
HEADS = {"GlobalAveragePool", "GlobalMaxPool", "Flatten", "Gemm", "Concat"}
PLAIN = {"Transpose", "Cast", "Mul", "Add"}
OF_GEM, OF_IBN = {"Max", "Pow"}, {"InstanceNormalization", "Concat"}


def random_values(network: Network) -> tuple[Tree, Tree]:
    """Weights whose batch normalization does something, as a trained network's does."""
    rng = np.random.default_rng(0)

    def vary(path: tuple, value: np.ndarray) -> np.ndarray:
        name = path[-1].key
        if name in ("scale", "var"):
            return (value * rng.uniform(0.5, 1.5, value.shape)).astype(value.dtype)
        if name in ("bias", "mean"):
            return rng.normal(0, 0.2, value.shape).astype(value.dtype)
        return value + np.float32(0.7) if name == "power" else value

    params, batch_stats = init_params(network, 0)
    return jax.tree.map_with_path(vary, params), jax.tree.map_with_path(vary, batch_stats)


def check(
    config: ModelConfig, kind: Kind, size: tuple[int, int], stages: int = 0, count: int = 3
) -> set[str]:
    """Compare graph and network on so many images; the types of the graph's operations."""
    network = create_network(config, kind, 5)
    values = random_values(network)
    images = np.random.default_rng(1).integers(0, 256, (count, *size, 3)).astype(np.uint8)
    model = make_onnx(network, *values, size, PRESETS["plain"], chosen_heads(network, stages))
    expected = reference(network, *values, images, size)
    found = run_onnx(model.SerializeToString(), images)
    assert found.std() > 0.1
    assert found.shape[1] == (stages * config.embedding_size or expected.shape[1])
    difference = relative_differences(found, expected[:, : found.shape[1]]).max()
    print(f"{kind} {size}, {count} images: relative difference {difference:.1e}")
    assert difference < 1e-5
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(
    ("kind", "fields", "operations"),
    [
        ("pmm", {}, TRUNK | HEADS | PLAIN),
        ("baseline", GEM | IBN, (TRUNK | HEADS | PLAIN | OF_GEM | OF_IBN) - {"GlobalMaxPool"}),
        ("bdb", {"neck": "bnneck"}, TRUNK | HEADS | PLAIN),
        ("trunk", {}, TRUNK | {"GlobalAveragePool", "Flatten"} | PLAIN),
    ],
)
def test_the_graph_embeds_as_the_network_does(
    kind: Kind, fields: dict, operations: set[str]
) -> None:
    assert check(replace(SIZES, **fields), kind, (64, 32)) == operations


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fields", "stages", "count"),
    [
        ("pmm", {}, 0, 200),
        ("pmm", GEM, 0, 200),
        ("bdb", {}, 0, 200),
        ("pmm", {}, 1, 3),
        ("pmm", GEM, 2, 3),
        ("pmm", IBN, 0, 20),
    ],
)
def test_a_network_of_full_size_too(kind: Kind, fields: dict, stages: int, count: int) -> None:
    operations = check(replace(FULL, **fields), kind, (384, 128), stages, count)
    assert operations <= TRUNK | HEADS | PLAIN | (OF_GEM | OF_IBN if fields else set())


def test_the_first_stages_are_the_beginning_of_the_embedding() -> None:
    network = create_network(SIZES, "pmm", 5)
    values = random_values(network)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 32, 3)).astype(np.uint8)
    found = [
        run_onnx(
            make_onnx(
                network, *values, (64, 32), PRESETS["plain"], chosen_heads(network, stages)
            ).SerializeToString(),
            images,
        )
        for stages in (1, 2, 3, 0)
    ]
    assert [array.shape for array in found] == [(2, 16), (2, 32), (2, 48), (2, 48)]
    for array in found:
        np.testing.assert_allclose(array, found[-1][:, : array.shape[1]], rtol=1e-5, atol=1e-6)


def test_nodes_are_named_as_the_modules_and_nothing_turns_an_axis_in_between() -> None:
    network = create_network(SIZES, "pmm", 5)
    model = make_onnx(
        network, *random_values(network), (64, 32), PRESETS["tensorrt"], ["stage1", "stage2"]
    )
    names = [node.name for node in model.graph.node]
    assert names[:4] == ["preprocess.mul", "preprocess.add", "trunk.conv1", "trunk.relu"]
    assert {"trunk.layer2.1.conv3", "trunk.layer2.0.downsample", "part_block.conv1"} < set(names)
    assert len(set(names)) == len(names)
    assert not {"Transpose", "Reshape", "BatchNormalization"} & {
        node.op_type for node in model.graph.node
    }


def test_stages_that_are_not_there_are_refused() -> None:
    with pytest.raises(UserError, match="--stages 2: this model has no stages"):
        chosen_heads(create_network(SIZES, "bdb", 5), 2)
    with pytest.raises(UserError, match="--stages 3: this model has 2;"):
        chosen_heads(create_network(SIZES, "pmm", 5, stages=2), 3)
    assert chosen_heads(create_network(SIZES, "baseline", 5), 1) == ["stage1"]
