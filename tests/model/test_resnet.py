"""Shapes, names and sizes of the whole network, without computing anything."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from pmm_jax.config import Config, MethodConfig, ModelConfig
from pmm_jax.methods import TrainBatch, create_model
from pmm_jax.methods.pmm import PMM, MixingSample
from pmm_jax.model.initial import init_params, shapes
from pmm_jax.model.layers import Conv
from pmm_jax.model.pmm import Kind, Network, TrainPass, create_network, embed
from pmm_jax.model.resnet import Bottleneck, ResNet, scaled

Shapes = dict[str, Any]


def count(tree: Any) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def test_pmm_has_31_1_million_parameters_with_10_identities() -> None:
    params, _ = shapes(create_model(Config(), 10))
    assert list(params) == ["trunk", "stage1", "part_block", "stage2", "stage3"]
    # Torchvision's ResNet-50 has 25,557,032, of which 2,049,000 are the classifier's.
    assert count(params["trunk"]) == 23_508_032
    # 1x1, 3x3, 1x1 convolutions, and scale and bias of three BatchNorms.
    part_block = 2048 * 512 + 9 * 512 * 512 + 512 * 2048 + 2 * (512 + 512 + 2048)
    assert count(params["part_block"]) == part_block
    head = 2048 * 512 + 512 + 2 * 512 + 512 * 10 + 10
    assert [count(params[f"stage{i}"]) for i in (1, 2, 3)] == [head] * 3
    assert f"{count(params) / 1e6:.1f}" == "31.1"


def test_map_and_embedding_sizes_at_full_width() -> None:
    config = Config()
    network = create_model(config, 10)
    params, stats = shapes(network)
    images = jax.ShapeDtypeStruct((8, 384, 128, 3), jnp.float32)
    trunk = jax.eval_shape(
        lambda p, s, x: network.modules["trunk"].apply({"params": p, "batch_stats": s}, x, False),
        params["trunk"],
        stats["trunk"],
        images,
    )
    assert trunk.shape == (8, 24, 8, 2048)
    embedding = jax.eval_shape(lambda *a: embed(network, *a), params, stats, images)
    assert embedding.shape == (8, 1536)

    labels = jax.ShapeDtypeStruct((8,), jnp.int32)

    def forward(params: Shapes, stats: Shapes, images: jax.Array, labels: jax.Array) -> Any:
        net = TrainPass(network, {"params": params, "batch_stats": stats})
        batch = TrainBatch(images, labels, MixingSample((labels, labels)))
        return vars(PMM(config).forward(net, batch))

    outputs = jax.eval_shape(forward, params, stats, images, labels)
    assert [x.shape for x in outputs["inputs"]] == [(8, 24, 8, 2048)] * 3
    assert [x.shape for x in outputs["cams"]] == [(8, 24, 8)] * 2
    assert [x.shape for x in outputs["masks"]] == [(8, 24, 8)] * 2
    assert [x.shape for x in outputs["embeddings"]] == [(8, 512)] * 3
    assert [x.shape for x in outputs["logits"]] == [(8, 10)] * 3


def test_baseline_is_the_trunk_and_stage_1() -> None:
    network = create_model(replace(Config(), method=MethodConfig(name="baseline")), 10)
    params, stats = shapes(network)
    assert list(params) == ["trunk", "stage1"]
    images = jax.ShapeDtypeStruct((2, 384, 128, 3), jnp.float32)
    assert jax.eval_shape(lambda *a: embed(network, *a), params, stats, images).shape == (2, 512)


def torchvision_names(stage_sizes: tuple[int, ...]) -> set[str]:
    norm = ("scale", "bias")
    names = {"conv1/kernel", *(f"bn1/{leaf}" for leaf in norm)}
    for layer, blocks in enumerate(stage_sizes, 1):
        for block in range(blocks):
            for i in (1, 2, 3):
                names |= {f"layer{layer}_{block}/conv{i}/kernel"}
                names |= {f"layer{layer}_{block}/bn{i}/{leaf}" for leaf in norm}
            if block == 0:
                names |= {f"layer{layer}_0/downsample_conv/kernel"}
                names |= {f"layer{layer}_0/downsample_bn/{leaf}" for leaf in norm}
    return names


def test_names_follow_torchvision() -> None:
    params, stats = shapes(create_model(Config(), 10))
    assert set(flatten_dict(params["trunk"], sep="/")) == torchvision_names((3, 4, 6, 3))
    assert set(flatten_dict(params["stage2"], sep="/")) == {
        "reduction/kernel",
        "reduction/bias",
        "bn/scale",
        "bn/bias",
        "classifier/kernel",
        "classifier/bias",
    }
    assert "downsample_conv" not in params["part_block"]
    assert set(flatten_dict(stats["stage2"], sep="/")) == {"bn/mean", "bn/var"}


def test_only_layers_2_and_3_halve_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """And there, as in torchvision, the first block's 3x3 convolution and its shortcut do."""
    strides: dict[tuple[str, str], int] = {}
    conv = Conv.__call__

    def called(self: Conv, x: jax.Array) -> jax.Array:
        strides[self.path[-2:]] = self.stride
        return conv(self, x)

    monkeypatch.setattr(Conv, "__call__", called)
    sizes = {}
    x = jax.ShapeDtypeStruct((1, 64, 32, 3), jnp.float32)
    for stage_sizes in ((2,), (2, 2), (2, 2, 2), (2, 2, 2, 2)):
        trunk = ResNet(stage_sizes)
        made = jax.eval_shape(
            lambda x, trunk=trunk: trunk.init_with_output(jax.random.key(0), x, True)[0], x
        )
        sizes[len(stage_sizes)] = made.shape[1:]
    assert sizes == {1: (16, 8, 256), 2: (8, 4, 512), 3: (4, 2, 1024), 4: (4, 2, 2048)}
    halving = {module for module, stride in strides.items() if stride == 2}
    assert halving == {
        ("conv1",),
        *((f"layer{n}_0", conv) for n in (2, 3) for conv in ("conv2", "downsample_conv")),
    }
    assert set(strides.values()) == {1, 2}
    assert len(strides) == 1 + 4 * (2 * 3 + 1)


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(64, 1, 64), (512, 0.25, 128), (64, 1 / 8, 8), (64, 1 / 16, 8), (64, 0.3, 16), (512, 2, 1024)],
)
def test_channels_scale_in_multiples_of_8(channels: int, width: float, expected: int) -> None:
    assert scaled(channels, width) == expected


def test_the_bottleneck_is_its_formula() -> None:
    block = Bottleneck(2)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 2, 8)).astype(np.float32)
    variables = nn.unbox(block.init(jax.random.key(0), x, False))
    drawn = jax.tree.map(lambda v: rng.standard_normal(v.shape).astype(np.float32), variables)
    params = drawn["params"]
    stats = jax.tree.map(np.abs, drawn["batch_stats"])

    def norm(y: np.ndarray, name: str) -> np.ndarray:
        mean, var = stats[name]["mean"][None, None, None], stats[name]["var"][None, None, None]
        scale, bias = (params[name][leaf][None, None, None] for leaf in ("scale", "bias"))
        return (y - mean) / np.sqrt(var + 1e-5) * scale + bias

    y = np.maximum(norm(x @ params["conv1"]["kernel"][0, 0], "bn1"), 0)
    padded = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = sum(
        padded[:, i : i + 3, j : j + 2] @ params["conv2"]["kernel"][i, j]
        for i in range(3)
        for j in range(3)
    )
    y = np.maximum(norm(y, "bn2"), 0)
    y = np.maximum(norm(y @ params["conv3"]["kernel"][0, 0], "bn3") + x, 0)
    found: Any = block.apply({"params": params, "batch_stats": stats}, x, False)
    np.testing.assert_allclose(found, y, rtol=1e-3, atol=1e-3 * np.abs(y).max())


@pytest.mark.parametrize(("width", "channels"), [(1, 64), (0.2, 16), (0.1, 8), (0.01, 8)])
def test_channels_are_rounded_to_eights(width: float, channels: int) -> None:
    assert scaled(64, width) == channels


def tiny(**model: Any) -> Network:
    return create_model(replace(Config(), model=ModelConfig(width=1 / 8, **model)), 10)


KINDS = ("pmm", "bdb", "baseline", "trunk")


@cache
def initial(kind: Kind, pooling: str = "avg_max", neck: str = "bn_relu") -> tuple[dict, dict]:
    """Initial values of a network that is wide enough to tell distributions apart."""
    model = ModelConfig((2, 1, 1, 1), 0.5, 256, pooling=pooling, neck=neck)  # type: ignore[arg-type]
    trees = init_params(create_network(model, kind, 400), seed=0)
    return flatten_dict(trees[0], sep="/"), flatten_dict(trees[1], sep="/")


def expected_deviation(name: str, shape: tuple[int, ...]) -> float:
    """Of a kernel, as PyTorch, the release and BDB's own source draw it."""
    *window, inputs, outputs = shape
    taps = int(np.prod(window))
    if name.startswith("part_block/"):
        return 1 / np.sqrt(3 * taps * inputs)  # uniform within 1 / sqrt(fan-in)
    # Stage I's reduction is a convolution in the release, by fan-in; all others by fan-out.
    return np.sqrt(2 / (inputs if name == "stage1/reduction/kernel" else taps * outputs))


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_by_name(kind: Kind) -> None:
    """Mean, deviation, shape and extent of every array's distribution."""
    params, stats = initial(kind)
    for name, leaf in params.items():
        part, values = name.split("/")[0], leaf.ravel().astype(float)
        if name.endswith("/bias"):
            assert not values.any(), name
            continue
        is_head = part not in ("trunk", "part_block")
        if name.endswith("/scale") and not is_head:
            assert (values == 1).all(), name
            continue
        assert name.endswith(("/scale", "/kernel"))
        mean, deviation = 0.0, expected_deviation(name, leaf.shape) if leaf.ndim > 1 else 0.02
        if name.endswith("/scale"):
            mean = 1.0
        error = 5 / np.sqrt(values.size)  # of a mean in deviations; five standard errors
        normed = (values - mean) / deviation
        assert abs(normed.mean()) < error, name
        is_uniform = part == "part_block"
        assert normed.std() == pytest.approx(1, abs=error), name
        # The fourth moment is 9/5 of a uniform distribution and 3 of a normal one.
        assert (normed**4).mean() == pytest.approx(1.8 if is_uniform else 3, abs=15 * error), name
        assert (np.abs(normed).max() < np.sqrt(3) * 1.0001) == is_uniform, name
    for name, leaf in stats.items():
        assert (leaf == (0 if name.endswith("/mean") else 1)).all(), name
    assert {name.split("/")[0] for name in params} == set(
        create_network(ModelConfig(), kind, 2).modules
    )


def test_initial_values_of_heads_that_are_not_the_papers() -> None:
    params, _ = initial("pmm", "gem", "bnneck")
    powers = [value for name, value in params.items() if name.endswith("/power")]
    assert [power.tolist() for power in powers] == [[3.0]] * 3
    assert sum(name.endswith("/neck/scale") for name in params) == 3


@pytest.mark.parametrize("kind", ["pmm", "bdb"])
def test_shapes_are_those_of_the_values(kind: Kind) -> None:
    network = create_network(ModelConfig((1, 1, 1, 1), 0.125, 16), kind, 7)
    like, made = shapes(network), init_params(network, seed=0)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), made) == jax.tree.map(
        lambda x: (x.shape, x.dtype), like
    )


def test_zero_init_last_makes_every_block_the_identity() -> None:
    params, _ = init_params(tiny(stage_sizes=(1, 2, 1, 1), zero_init_last=True), seed=0)
    blocks = [block for name, block in params["trunk"].items() if name.startswith("layer")]
    assert len(blocks) == 5
    for block in [*blocks, params["part_block"]]:
        assert not block["bn3"]["scale"].any()
        assert block["bn2"]["scale"].all()
    for block in blocks:
        if "downsample_bn" in block:  # the shortcut must still let something through
            assert block["downsample_bn"]["scale"].all()


def test_the_seed_decides_and_every_array_has_its_own_stream() -> None:
    first, again, other = (init_params(tiny(), seed)[0] for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    kernels = [leaf for path, leaf in flatten_dict(first).items() if path[-1] == "kernel"]
    others = [leaf for path, leaf in flatten_dict(other).items() if path[-1] == "kernel"]
    assert all((a != b).any() for a, b in zip(kernels, others, strict=True))
    starts = [float(leaf.ravel()[0]) for leaf in kernels]
    assert len(set(starts)) == len(starts)
