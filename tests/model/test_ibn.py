"""IBN-a against its definition (Pan et al., 2018; XingangPan/IBN-Net), and its names in files."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from pmm_jax.config import Config, ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params, shapes
from pmm_jax.model.layers import InstanceBatchNorm
from pmm_jax.model.pmm import Kind, create_network
from pmm_jax.model.pretrained import load_resnet50
from pmm_jax.model.resnet import Bottleneck
from pmm_jax.model.torch_checkpoint import Tensors, load_state_dict, state_dict
from pmm_jax.runtime import override_platform
from pmm_jax.training.initial import check_weights

NARROW = ModelConfig(stage_sizes=(1, 2, 1, 1), width=0.125, embedding_size=24, ibn_a=True)


def random_layer() -> tuple[np.ndarray, dict[str, Any]]:
    """Maps of 6 channels, whose means differ from image to image, and values of the layer."""
    rng = np.random.default_rng(0)
    x = rng.normal(rng.normal(0, 3, (4, 1, 1, 6)), 2, (4, 5, 3, 6))
    draw = {leaf: rng.uniform(0.5, 2, (2, 3)) for leaf in ("scale", "bias", "mean", "var")}
    params = {
        name: {leaf: draw[leaf][i] for leaf in ("scale", "bias")}
        for i, name in enumerate(("IN", "BN"))
    }
    stats = {"BN": {leaf: draw[leaf][1] for leaf in ("mean", "var")}}
    return x, {"params": params, "batch_stats": stats}


def naive_ibn(x: np.ndarray, variables: dict[str, Any], train: bool) -> np.ndarray:
    """Channel by channel, and image by image where the definition says so."""
    half, y = x.shape[-1] // 2, np.empty_like(x)
    for c in range(x.shape[-1]):
        name, i = ("IN", c) if c < half else ("BN", c - half)
        scale, bias = (variables["params"][name][leaf][i] for leaf in ("scale", "bias"))
        for n in range(len(x)):
            values = x[n, ..., c] if name == "IN" else x[..., c]
            mean, var = values.mean(), values.var()
            if name == "BN" and not train:
                mean, var = (variables["batch_stats"]["BN"][leaf][i] for leaf in ("mean", "var"))
            y[n, ..., c] = (x[n, ..., c] - mean) / np.sqrt(var + 1e-5) * scale + bias
    return y


@pytest.mark.parametrize("train", [True, False])
def test_the_layer_against_its_definition(train: bool, x64: None) -> None:
    x, variables = random_layer()
    layer = InstanceBatchNorm(jnp.float64)
    apply = jax.jit(lambda v, x: layer.apply(v, x, train, mutable=["batch_stats"]))
    y, updates = apply(variables, x)
    np.testing.assert_allclose(y, naive_ibn(x, variables, train), rtol=1e-9)
    assert set(updates["batch_stats"]) == {"BN"}  # an image's own statistics are kept nowhere
    moved = updates["batch_stats"]["BN"]["mean"] != variables["batch_stats"]["BN"]["mean"]
    assert moved.all() == train


def test_a_cpus_gradient_is_the_stock_operations(x64: None) -> None:
    """The CPU's form of BatchNorm serves it, with each image as a batch of its own."""
    x, variables = random_layer()
    weights = np.random.default_rng(1).standard_normal(x.shape)

    def loss(params: dict, x: jax.Array) -> jax.Array:
        given = {**variables, "params": params}
        y, _ = InstanceBatchNorm(jnp.float64).apply(given, x, True, mutable=["batch_stats"])
        return jnp.square(y * weights).sum()

    def gradients() -> Any:
        # Compiled anew: jit would remember the other platform's.
        return jax.jit(jax.grad(partial(loss), (0, 1)))(variables["params"], x)

    found = gradients()
    with override_platform("gpu"):
        expected = gradients()
    assert np.abs(expected[1]).max() > 0.1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, expected)


def published_names() -> set[str]:
    """Of resnet50_ibn_a, as its constructor makes them, without counters and classifier."""
    affine = ("weight", "bias")
    batch_norm = (*affine, "running_mean", "running_var")
    names = {"conv1.weight", *(f"bn1.{leaf}" for leaf in batch_norm)}
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            stem = f"layer{layer}.{block}"
            names |= {f"{stem}.conv{i}.weight" for i in (1, 2, 3)}
            names |= {f"{stem}.bn{i}.{leaf}" for i in (2, 3) for leaf in batch_norm}
            if layer < 4:
                names |= {f"{stem}.bn1.IN.{leaf}" for leaf in affine}
                names |= {f"{stem}.bn1.BN.{leaf}" for leaf in batch_norm}
            else:
                names |= {f"{stem}.bn1.{leaf}" for leaf in batch_norm}
            if block == 0:
                names |= {f"{stem}.downsample.0.weight"}
                names |= {f"{stem}.downsample.1.{leaf}" for leaf in batch_norm}
    return names


def test_names_and_sizes_are_the_published_networks() -> None:
    params, stats = shapes(create_network(ModelConfig(ibn_a=True), "trunk", 0))
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), (params, stats))
    state = {n: v for n, v in state_dict(*zeros).items() if not n.endswith("num_batches_tracked")}
    assert set(state) == published_names()
    # Halves of 64, 128 and 256 channels.
    for layer, half in ((1, 32), (2, 64), (3, 128)):
        assert state[f"layer{layer}.1.bn1.IN.weight"].shape == (half,)
        assert state[f"layer{layer}.1.bn1.BN.running_var"].shape == (half,)
    # As many as without: both halves are affine.
    assert sum(np.prod(x.shape, dtype=int) for x in jax.tree.leaves(params)) == 23_508_032


def test_the_part_block_has_none() -> None:
    part_block = create_network(NARROW, "pmm", 5).modules["part_block"]
    assert isinstance(part_block, Bottleneck)
    assert not part_block.ibn


@cache
def weights(kind: Kind) -> tuple[dict, dict]:
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: rng.uniform(0.1, 1, x.shape).astype(np.float32),
        init_params(create_network(NARROW, kind, 10), 0),
    )


def tensors(kind: Kind) -> Tensors:
    return state_dict(*weights(kind))


@pytest.mark.parametrize("kind", ["baseline", "trunk"])
def test_files_keep_it_both_ways(kind: Kind) -> None:
    state = tensors(kind)
    block = "backbone.4.0" if kind == "baseline" else "layer1.0"
    names = [name for name in state if name.startswith(f"{block}.bn1.")]
    assert names == [
        *(f"{block}.bn1.IN.{leaf}" for leaf in ("weight", "bias")),
        *(
            f"{block}.bn1.BN.{leaf}"
            for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        ),
    ]
    loaded = load_state_dict("file", state)
    assert loaded.model.ibn_a
    jax.tree.map(np.testing.assert_array_equal, (loaded.params, loaded.batch_stats), weights(kind))


def filled(path: Path, ibn_a: bool) -> tuple[dict, dict]:
    params, stats = init_params(create_network(replace(NARROW, ibn_a=ibn_a), "trunk", 0), 1)
    return load_resnet50(str(path), params["trunk"], stats["trunk"])


def test_its_published_weights_fill_the_trunk(tmp_path: Path) -> None:
    """Under DataParallel's prefix and with the classifier, as they are published."""
    path = tmp_path / "resnet50_ibn_a.safetensors"
    extra = {"fc.weight": np.ones((7, 256), np.float32), "fc.bias": np.ones(7, np.float32)}
    save_file({f"module.{name}": v for name, v in (tensors("trunk") | extra).items()}, path)
    expected = tuple(tree["trunk"] for tree in weights("trunk"))
    jax.tree.map(np.testing.assert_array_equal, filled(path, True), expected)
    with pytest.raises(UserError, match=r"has IBN-a; set model\.ibn_a"):
        filled(path, False)


def test_weights_without_it_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    plain = create_network(replace(NARROW, ibn_a=False), "trunk", 0)
    save_file(state_dict(*init_params(plain, 0)), path)
    with pytest.raises(UserError, match=r"has no IBN-a.*resnet50_ibn_a-d9d0bb7b\.pth"):
        filled(path, True)
    with pytest.raises(UserError, match=r"imagenet has no IBN-a.*resnet50_ibn_a-d9d0bb7b\.pth"):
        check_weights(replace(Config(), model=ModelConfig(ibn_a=True)), fresh=True)
