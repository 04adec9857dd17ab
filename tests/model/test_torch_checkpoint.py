import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Kind, create_network
from pmm_jax.model.torch_checkpoint import Tensors, load_state_dict, state_dict

GOLDEN = Path(__file__).parents[1] / "golden" / "release_p4_c10_s21.npz"
NARROW = ModelConfig(stage_sizes=(1, 2, 1, 1), width=0.125, embedding_size=24)
KINDS: list[Kind] = ["pmm", "baseline", "bdb", "trunk"]


@cache
def weights(kind: Kind = "pmm", model: ModelConfig = NARROW) -> tuple[dict, dict]:
    return init_params(create_network(model, kind, 10), seed=3)


def tensors(kind: Kind = "pmm", model: ModelConfig = NARROW) -> Tensors:
    return state_dict(*weights(kind, model))


def refusal(state: Tensors) -> str:
    with pytest.raises(UserError) as caught:
        load_state_dict("file.pth.tar", state)
    message = str(caught.value)
    assert message.startswith("file.pth.tar ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    "width", [0.125, 0.3, *(pytest.param(w, marks=pytest.mark.slow) for w in (0.25, 0.375))]
)
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_is_exact_and_finds_every_size(kind: Kind, width: float, prefix: str) -> None:
    model = ModelConfig(stage_sizes=(2, 1, 3, 1), width=width, embedding_size=24)
    params, stats = weights(kind, model)
    state = {f"{prefix}{name}": value for name, value in state_dict(params, stats).items()}
    loaded = load_state_dict("file", state)
    assert loaded.kind == kind
    assert loaded.model.stage_sizes == model.stage_sizes
    assert loaded.num_ids == (1 if kind == "trunk" else 10)
    jax.tree.map(
        np.testing.assert_array_equal, (loaded.params, loaded.batch_stats), (params, stats)
    )


@pytest.mark.parametrize("kind", ["pmm", "baseline", "bdb"])
def test_heads_that_are_not_the_papers_keep_what_they_are(kind: Kind) -> None:
    model = replace(NARROW, pooling="gem", neck="bnneck")
    params, stats = weights(kind, model)
    state = state_dict(params, stats)
    assert state["global_pooling.p"] == np.full(1, 3.0)
    assert "global_reduction.1.weight" not in state  # another reader would take it for the paper's
    loaded = load_state_dict("file", state)
    assert (loaded.model.pooling, loaded.model.neck) == ("gem", "bnneck")
    jax.tree.map(
        np.testing.assert_array_equal, (loaded.params, loaded.batch_stats), (params, stats)
    )


def test_names_and_their_order_are_the_releases() -> None:
    names = list(tensors(model=ModelConfig()))
    with np.load(GOLDEN, allow_pickle=False) as golden:
        released = golden["state_names"].tolist()
    assert [name for name in names if not name.endswith("num_batches_tracked")] == released


def test_shapes_are_pytorchs() -> None:
    state = tensors()
    assert state["backbone.0.weight"].shape == (8, 3, 7, 7)
    assert state["res_part.0.conv2.weight"].shape == (64, 64, 3, 3)
    assert state["global_reduction.0.weight"].shape == (24, 256, 1, 1)
    assert state["reduction1.0.weight"].shape == (24, 256)
    assert state["softmax2.weight"].shape == (10, 24)
    assert state["backbone.1.num_batches_tracked"].shape == ()
    assert all(value.flags["C_CONTIGUOUS"] for value in state.values())


def test_each_value_is_where_pytorch_expects_it() -> None:
    params, _ = weights()
    state = tensors()
    conv = params["trunk"]["layer4_0"]["conv2"]["kernel"]
    assert state["res_part.0.conv2.weight"][5, 7, 1, 2] == conv[1, 2, 7, 5]
    reduction = params["stage1"]["reduction"]["kernel"]
    assert state["global_reduction.0.weight"][3, 200, 0, 0] == reduction[200, 3]
    assert state["softmax1.weight"][9, 4] == params["stage2"]["classifier"]["kernel"][4, 9]


def test_names_of_batch_dropblock() -> None:
    heads = {name.rsplit(".", 1)[0] for name in tensors("bdb") if not name.startswith("backbone")}
    assert {"global_reduction.0", "reduction.0", "reduction.1", "softmax"} <= heads
    assert not any(name.startswith(("reduction1", "softmax1")) for name in heads)
    assert tensors("bdb")["reduction.0.weight"].shape == (48, 256)  # twice stage I's


def test_missing_surplus_and_misshapen_are_named() -> None:
    state = tensors()
    del state["softmax2.bias"], state["res_part2.bn1.running_mean"]
    state["softmax3.weight"] = np.ones((2, 2), np.float32)
    state["reduction1.0.bias"] = np.ones(23, np.float32)
    message = refusal(state)
    assert re.search(r"2 missing \(.*res_part2\.bn1\.running_mean.*\)", message)
    assert "softmax2.bias" in message
    assert "1 surplus (softmax3.weight)" in message
    assert "1 misshapen (reduction1.0.bias (23,) for (24,))" in message


def test_a_layer_that_is_missing_whole_is_named() -> None:
    state = {name: value for name, value in tensors().items() if not name.startswith("res_part.")}
    assert "res_part.0.conv1.weight" in refusal(state)


def test_another_networks_weights_say_what_is_known() -> None:
    message = refusal({"encoder.0.weight": np.ones(3, np.float32)})
    assert "(encoder.0.weight), which is no network known here" in message
    assert "torchvision or timm ResNet-50" in message
    assert "nothing" in refusal({})


def test_an_imagenet_classifier_is_left_out_of_a_trunk() -> None:
    state = tensors("trunk") | {"fc.weight": np.ones((7, 256), np.float32)}
    assert load_state_dict("file", state).kind == "trunk"
