from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from pmm_jax.errors import UserError
from pmm_jax.model.pretrained import load_resnet50
from pmm_jax.model.weights_file import FILE, REPOSITORY, REVISION

Tensors = dict[str, np.ndarray]


def torchvision(width: int = 8, stage_sizes: tuple[int, ...] = (3, 4, 6, 3)) -> Tensors:
    """Names and shapes of torchvision's ResNet-50 state, `width` channels wide instead of 64."""
    rng = np.random.default_rng(0)
    state: Tensors = {}

    def conv(name: str, out: int, into: int, size: int) -> None:
        state[f"{name}.weight"] = rng.standard_normal((out, into, size, size)).astype(np.float32)

    def norm(name: str, channels: int) -> None:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{leaf}"] = rng.random(channels, np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    conv("conv1", width, 3, 7)
    norm("bn1", width)
    into = width
    for layer, blocks in enumerate(stage_sizes):
        planes = width * 2**layer
        for block in range(blocks):
            name = f"layer{layer + 1}.{block}"
            conv(f"{name}.conv1", planes, into, 1)
            norm(f"{name}.bn1", planes)
            conv(f"{name}.conv2", planes, planes, 3)
            norm(f"{name}.bn2", planes)
            conv(f"{name}.conv3", 4 * planes, planes, 1)
            norm(f"{name}.bn3", 4 * planes)
            if block == 0:
                conv(f"{name}.downsample.0", 4 * planes, into, 1)
                norm(f"{name}.downsample.1", 4 * planes)
            into = 4 * planes
    state["fc.weight"] = rng.standard_normal((10, into)).astype(np.float32)
    state["fc.bias"] = rng.standard_normal(10).astype(np.float32)
    return state


def trees(state: Tensors) -> tuple[dict, dict]:
    """The nested parameter and statistics trees that hold the same values."""
    params: dict = {}
    stats: dict = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        if module == "fc" or leaf == "num_batches_tracked":
            continue
        module = module.replace(".downsample.0", ".downsample_conv")
        module = module.replace(".downsample.1", ".downsample_bn")
        parts = module.split(".")
        parts = [f"{parts[0]}_{parts[1]}", parts[2]] if len(parts) == 3 else parts
        tree = stats if leaf.startswith("running") else params
        for part in parts:
            tree = tree.setdefault(part, {})
        if value.ndim == 4:
            tree["kernel"] = np.einsum("oihw->hwio", value)
        else:
            ours = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
            tree[ours[leaf]] = value
    return params, stats


def zeros_like(tree: dict) -> dict:
    return {
        name: zeros_like(value) if isinstance(value, dict) else np.zeros_like(value)
        for name, value in tree.items()
    }


STATE = torchvision()
PARAMS, STATS = trees(STATE)


def load(source: object) -> tuple[dict, dict]:
    return load_resnet50(str(source), zeros_like(PARAMS), zeros_like(STATS))


def assert_filled(loaded: tuple[dict, dict]) -> None:
    for tree, expected in zip(loaded, (PARAMS, STATS), strict=True):
        ours, theirs = flatten_dict(tree), flatten_dict(expected)
        assert list(ours) == list(theirs)
        for path, value in theirs.items():
            np.testing.assert_array_equal(ours[path], value, err_msg=str(path))


def refusal(source: object, params: dict = PARAMS, stats: dict = STATS) -> str:
    with pytest.raises(UserError) as caught:
        load_resnet50(str(source), params, stats)
    message = str(caught.value)
    assert "\n" not in message
    return message


def saved(path: Path, changed: Tensors | None = None, without: tuple[str, ...] = ()) -> Path:
    state = {key: value for key, value in STATE.items() if key not in without}
    save_file(state | (changed or {}), path)
    return path


def test_key_list_is_torchvisions_resnet50() -> None:
    assert len(STATE) == 320
    parameters = [
        value.size
        for name, value in torchvision(64).items()
        if "running" not in name and "num_batches" not in name and not name.startswith("fc.")
    ]
    assert sum(parameters) == 23_508_032  # the trunk of the 25,557,032 with the classifier


def test_safetensors_fills_every_value(tmp_path: Path) -> None:
    assert_filled(load(saved(tmp_path / "r.safetensors")))


def test_prefix_of_data_parallel_is_stripped(tmp_path: Path) -> None:
    save_file(
        {f"module.{name}": value for name, value in STATE.items()}, tmp_path / "r.safetensors"
    )
    assert_filled(load(tmp_path / "r.safetensors"))


def test_types_of_the_trees_are_kept(tmp_path: Path) -> None:
    path = saved(tmp_path / "r.safetensors", {"bn1.bias": STATE["bn1.bias"].astype(np.float64)})
    params, _ = load(path)
    assert params["bn1"]["bias"].dtype == np.float32


def test_scratch_leaves_the_trees() -> None:
    params, stats = load_resnet50("scratch", PARAMS, STATS)
    assert params is PARAMS
    assert stats is STATS


def test_imagenet_asks_the_hub_for_the_pinned_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "r.safetensors")

    def download(repository: str, file: str, revision: str) -> str:
        assert (repository, file, revision) == (REPOSITORY, FILE, REVISION)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert_filled(load("imagenet"))


def test_no_network_names_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise ConnectionError("no route to host\nand more lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    message = refusal("imagenet")
    assert "no route to host" in message
    assert "--model.weights FILE or --model.weights scratch" in message


def test_missing_file_and_unknown_ending(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.safetensors")
    assert "No such file" in message
    assert "--model.weights scratch" in message
    assert "neither `imagenet`, `scratch` nor" in refusal("imagenett")


def test_missing_are_named_and_counted(tmp_path: Path) -> None:
    without = ("layer1.0.conv1.weight", "layer3.5.bn2.running_var")
    message = refusal(saved(tmp_path / "r.safetensors", without=without))
    assert "2 missing (layer1.0.conv1.weight, layer3.5.bn2.running_var)" in message
    assert "surplus" not in message


def test_surplus_are_named_and_counted(tmp_path: Path) -> None:
    extra = {f"layer4.3.conv{n}.weight": np.ones((8, 8, 1, 1), np.float32) for n in range(25)}
    message = refusal(saved(tmp_path / "r.safetensors", extra))
    names = ", ".join(sorted(extra)[:20])
    assert f"25 surplus ({names} and 5 more)" in message


def test_misshapen_are_named_with_both_shapes(tmp_path: Path) -> None:
    wrong = {"bn1.bias": np.ones(9, np.float32), "conv1.weight": np.ones((8, 3, 7, 6), np.float32)}
    message = refusal(saved(tmp_path / "r.safetensors", wrong))
    assert "2 misshapen (conv1.weight (8, 3, 7, 6) for (8, 3, 7, 7), bn1.bias (9,) for (8,))" in (
        message
    )


def test_another_width_or_depth_says_what_the_weights_need(tmp_path: Path) -> None:
    save_file(torchvision(16, (2, 2, 2, 2)), tmp_path / "r.safetensors")
    message = refusal(tmp_path / "r.safetensors")
    assert "need model.width 1 and model.stage_sizes 3 4 6 3" in message
    assert "this network has width 0.125 and stage sizes 3 4 6 3" in message


def test_network_of_the_right_size_is_told_that_the_file_is_wrong(tmp_path: Path) -> None:
    params, stats = trees(torchvision(64))
    message = refusal(saved(tmp_path / "r.safetensors"), params, stats)
    assert "it must be torchvision's ResNet-50" in message


@pytest.mark.parametrize("value", [np.full(8, np.nan, np.float32), np.ones(8, np.int32)])
def test_values_that_are_no_finite_floats_are_refused(tmp_path: Path, value: np.ndarray) -> None:
    assert "in bn1.weight;" in refusal(saved(tmp_path / "r.safetensors", {"bn1.weight": value}))


@pytest.mark.parametrize("ending", [".pth", ".pth.tar", ".pt"])
@pytest.mark.parametrize("nested", [False, True])
def test_torch_file_fills_every_value(tmp_path: Path, ending: str, nested: bool) -> None:
    torch = pytest.importorskip("torch", reason="only needed to read .pth files")
    state = {name: torch.from_numpy(np.array(value)) for name, value in STATE.items()}
    path = tmp_path / f"r{ending}"
    torch.save({"state_dict": state, "epoch": 3} if nested else state, path)
    assert_filled(load(path))
