"""Networks out of the wrappers that codebases put around them."""

import itertools
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Kind, create_network
from pmm_jax.model.pretrained import load_resnet50
from pmm_jax.model.torch_checkpoint import Tensors, load_state_dict
from pmm_jax.model.unwrapping import unwrap
from tests.model.test_torch_checkpoint import KINDS, NARROW, refusal, tensors, weights

WRAPPERS = ("module.", "_orig_mod.", "backbone.", "base.", "model.", "encoder.", "net.")
ONE = np.ones(3, np.float32)


def wrapped(prefix: str, state: Tensors) -> Tensors:
    return {prefix + name: value for name, value in state.items()}


def assert_read(state: Tensors, kind: Kind) -> None:
    loaded = load_state_dict("file.pth.tar", state)
    assert loaded.kind == kind
    jax.tree.map(np.testing.assert_array_equal, (loaded.params, loaded.batch_stats), weights(kind))


def assert_unwrapped(state: Tensors, prefix: str, expected: Tensors) -> None:
    found = unwrap("file", state, "")
    assert found.prefix == prefix
    assert found.is_release == ("backbone.0.weight" in expected)
    assert found.tensors.keys() == {n for n in expected if not n.endswith("num_batches_tracked")}
    assert all(value is expected[name] for name, value in found.tensors.items())
    assert found.beside == ()


@pytest.mark.parametrize("kind", KINDS)
def test_wrappers_in_any_order_and_nesting(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    state = tensors(kind)
    for words in itertools.product(WRAPPERS, ("", *WRAPPERS), ("", "module.")):
        prefix = "".join(words)
        assert_unwrapped(wrapped(prefix, state), prefix.replace("_orig_mod.", ""), state)
    assert_read(wrapped("module.model._orig_mod.module.", state), kind)
    assert not caplog.messages


@pytest.mark.parametrize("kind", KINDS)
def test_wrappers_of_torchs_inside_a_network(kind: Kind) -> None:
    state = tensors(kind)
    inside = {
        name.replace(".conv1.", ".conv1._checkpoint_wrapped_module.", 1): value
        for name, value in state.items()
    }
    assert_unwrapped(wrapped("_fsdp_wrapped_module.", inside), "", state)
    averaged = wrapped("module.", state) | {"n_averaged": np.array(7)}
    assert_unwrapped(averaged, "module.", state)


CODEBASES = {
    "torchreid": ("", ["classifier.weight", "classifier.bias"]),
    "torchreid's resnet50_fc512": ("", ["fc.0.weight", "fc.1.running_var", "classifier.weight"]),
    "fast-reid": (
        "backbone.",
        ["heads.weight", "heads.bottleneck.0.weight", "heads.pool_layer.p", "pixel_mean"],
    ),
    "reid-strong-baseline": ("base.", ["bottleneck.running_mean", "classifier.weight"]),
    "AGW": ("module.base.", ["module.global_pool.p", "module.classifier.weight"]),
    "Person_reID_baseline_pytorch": (
        "model.",
        ["model.fc.weight", "classifier.add_block.0.weight", "classifier.classifier.0.bias"],
    ),
    "BDB's ResNetBuilder": (
        "module.base.",
        ["module.bottleneck.0.weight", "module.classifier.bias"],
    ),
    "BDB's IDE": ("backbone.", ["softmax.weight", "softmax.bias"]),
    "torchvision": ("", ["fc.weight", "fc.bias"]),
}


@pytest.mark.parametrize("codebase", CODEBASES)
def test_heads_of_public_codebases_are_named_and_left_out(
    codebase: str, caplog: pytest.LogCaptureFixture
) -> None:
    prefix, heads = CODEBASES[codebase]
    assert_read(wrapped(prefix, tensors("trunk")) | dict.fromkeys(heads, ONE), "trunk")
    (line,) = caplog.messages
    assert line.startswith("file.pth.tar: left out what isn't needed")
    for name in heads:
        assert (
            ".".join(name.split(".")[: 2 if name.startswith(("module.", "model.")) else 1]) in line
        )


@pytest.mark.parametrize("numbers", [(0, 1, 4, 5, 6, 7), (0, 1, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5)])
@pytest.mark.parametrize("prefix", ["", "module.base."])
def test_a_sequential_of_a_resnets_children(
    numbers: tuple[int, ...], prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = dict(
        zip(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), numbers, strict=True)
    )
    state = {}
    for name, value in tensors("trunk").items():
        first, _, rest = name.partition(".")
        state[f"{prefix}{names[first]}.{rest}"] = value
    head = f"{prefix.removesuffix('base.')}feat_bn"
    assert_read(state | {f"{head}.weight": ONE}, "trunk")
    assert f" {head} (1)" in caplog.messages[0]


@pytest.mark.parametrize(
    ("kind", "prefix"), [("pmm", ""), ("bdb", "module.backbone."), ("trunk", "module.")]
)
def test_anything_else_is_an_error_that_names_it(
    kind: Kind, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = wrapped(prefix, tensors(kind)) | {"classifier.bias": ONE, "decoder.weight": ONE}
    assert "1 surplus (decoder.weight)" in refusal(state)
    assert not caplog.messages  # nothing was left out, because nothing was read
    state = wrapped(prefix, tensors(kind)) | {f"{prefix}attention.weight": ONE}
    assert f"1 surplus ({prefix}attention.weight)" in refusal(state)


def test_missing_names_are_those_of_the_file() -> None:
    state = wrapped("module.base.", tensors("trunk"))
    del state["module.base.layer2.0.bn1.bias"]
    assert "1 missing (module.base.layer2.0.bn1.bias)" in refusal(state)


def test_two_networks_are_refused() -> None:
    trunk = tensors("trunk")
    message = refusal(wrapped("student.", trunk) | wrapped("other.", trunk))
    assert "holds 2 networks, under other., student." in message
    assert "twice" in refusal(trunk | wrapped("_orig_mod.", trunk))


PERSON_HEADS = {
    "LUPerson": ("fc.0.weight", "fc.2.bias"),  # MoCo v2's
    "LUPerson-NL": ("embed_fc.weight", "classifier.bias", "fc1.weight", "fc2.bias"),
}
QUEUES: Tensors = {
    "queue": np.ones((4, 8), np.float32),
    "queue_id": -np.ones((8, 1), np.int64),
    "queue_ptr": np.zeros(1, np.int64),
    "prototypes": np.ones((5, 4), np.float32),
}


@pytest.mark.parametrize("wrapper", ["module.", ""])
@pytest.mark.parametrize("name", PERSON_HEADS)
def test_of_person_pretraining_the_encoder_that_learns_is_read(
    name: str, wrapper: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Names as moco_builder.py and pnl_builder.py of LUPerson-NL register them."""
    trunk, heads = tensors("trunk"), dict.fromkeys(PERSON_HEADS[name], ONE)
    momentum = {name: np.zeros_like(value) for name, value in trunk.items()}
    state = wrapped("encoder_q.", trunk | heads) | wrapped("encoder_k.", momentum | heads)
    assert_read(wrapped(wrapper, {**state, **QUEUES}), "trunk")
    (line,) = caplog.messages
    counted = sum("num_batches_tracked" not in name for name in momentum) + len(heads)
    assert f"{wrapper}encoder_k ({counted})" in line
    assert f"{wrapper}queue_id (1), {wrapper}queue_ptr (1), {wrapper}prototypes (1)" in line


OTHERS = {
    "OSNet": ["conv1.conv.weight", "conv2.0.conv2a.0.conv1.weight", "classifier.weight"],
    "CLIP's vision transformer": ["image_encoder.transformer.resblocks.0.attn.in_proj_weight"],
    "a vision transformer": ["base.cls_token", "base.blocks.0.attn.qkv.weight"],
    "a Swin transformer": ["base.stages.0.blocks.0.attn.w_msa.qkv.weight"],
    "DenseNet": ["features.denseblock1.denselayer1.conv1.weight"],
    "MobileNet": ["features.1.conv.0.0.weight"],
    "EfficientNet": ["conv_stem.weight"],
}


@pytest.mark.parametrize("network", OTHERS)
def test_other_networks_are_named(network: str) -> None:
    message = refusal(dict.fromkeys((f"module.{name}" for name in OTHERS[network]), ONE))
    assert f"holds {network}" in message
    assert f"(module.{OTHERS[network][0]}" in message


VARIANTS = {
    "IBN-b": {"layer1.2.IN.weight": ONE},
    "non-local blocks": {"NL_2.0.g.weight": ONE},
    "squeeze and excitation": {"layer1.0.se.fc1.weight": ONE},
    "CLIP's ResNet": {"attnpool.q_proj.weight": ONE},
    "a deep stem": {"conv1.0.weight": ONE},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_resnets_are_named(variant: str) -> None:
    state = wrapped("backbone.", tensors("trunk") | VARIANTS[variant])
    message = refusal(state)
    assert variant in message
    assert f"surplus (backbone.{next(iter(VARIANTS[variant]))})" in message


def test_basic_blocks_are_named() -> None:
    state = {n: v for n, v in tensors("trunk").items() if ".conv3." not in n and ".bn3." not in n}
    assert "ResNet-18 or 34" in refusal(state)


def test_names_can_not_talk_to_the_terminal() -> None:
    assert r"x\x1b[2J" in refusal(tensors("trunk") | {"x\x1b[2J": ONE, "y\nerror: forged": ONE})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full(8, np.nan, np.float32), "NaN"),
        (np.full(8, -np.inf, np.float32), "infinity"),
        (np.full(8, 1e300), "values that float32 can't hold"),
        (np.ones(8, np.int64), "int64 in place of floating point"),
        (np.ones(8, bool), "bool in place of floating point"),
        (np.ones(8, np.complex64), "complex64 in place of floating point"),
        (np.full(8, -1, np.float32), "variances below 0"),
    ],
)
def test_values_that_are_no_weights_are_refused_by_name(values: np.ndarray, said: str) -> None:
    message = refusal(wrapped("base.", tensors("trunk") | {"bn1.running_var": values}))
    assert "in base.bn1.running_var;" in message
    assert said in message


@pytest.mark.parametrize(
    "change",
    [
        {"global_softmax.bias": np.ones(0, np.float32)},
        {"global_softmax.bias": np.ones(10**6, np.float32)},
        {"global_softmax.bias": np.ones((), np.float32)},
        {"global_reduction.0.weight": np.ones((0, 1), np.float32)},
        {"backbone.4.0.conv1.weight": np.ones((10**6, 1, 1, 1), np.float32)},
        {"backbone.4.0.conv1.weight": np.ones((0, 1, 1, 1), np.float32)},
        {f"backbone.4.{n}.conv1.weight": np.ones(0, np.float32) for n in range(10**4)},
        {"res_part.-1.conv1.weight": ONE, "backbone.4.x.conv1.weight": ONE},
    ],
    ids=range(8),
)
def test_sizes_that_a_file_claims_cost_nothing(change: Tensors) -> None:
    refusal(tensors() | change)


@pytest.mark.parametrize(
    ("kind", "prefix"), [("pmm", "module."), ("bdb", "_orig_mod.module."), ("trunk", "")]
)
def test_the_trunk_of_whatever_is_wrapped(
    tmp_path: Path, kind: Kind, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model.pth.tar-60"
    save_file(wrapped(prefix, tensors(kind)) | {"classifier.weight": ONE}, path)
    params, stats = init_params(create_network(NARROW, "baseline", 2), seed=9)
    found = load_resnet50(str(path), params["trunk"], stats["trunk"])
    expected = tuple(tree["trunk"] for tree in weights(kind))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    (line,) = caplog.messages
    assert "classifier (1)" in line
    assert ("res_part2 (" in line) == (kind != "trunk")


def test_a_file_that_is_missing_is_no_network_name() -> None:
    params, stats = init_params(create_network(NARROW, "trunk", 2), seed=9)
    with pytest.raises(UserError, match="neither `imagenet`"):
        load_resnet50("imagenett", params["trunk"], stats["trunk"])
