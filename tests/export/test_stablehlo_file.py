"""One program for three platforms, of stock operations, that embeds as the model does."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export

from pmm_jax.api import Model
from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.export import stablehlo_file
from pmm_jax.export.crops import Crops, find_crops
from pmm_jax.export.onnx_check import BATCH
from pmm_jax.export.stablehlo_file import (
    PLATFORMS,
    export_stablehlo,
    make_stablehlo,
    run_stablehlo,
    with_heads,
)
from pmm_jax.model.initial import shapes
from pmm_jax.model.pmm import Network, create_network
from tests.export.test_onnx_graph import random_values
from tests.extras import needs_export

pytestmark = needs_export
SIZE = (32, 16)
SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)


@pytest.fixture(scope="module")
def model() -> Model:
    network = create_network(SIZES, "pmm", 5)
    return Model("pmm", network, *random_values(network), SIZE)


@pytest.fixture(scope="module")
def crops() -> Crops:
    return Crops(list(find_crops(None, 8).resized(SIZE)), "tests")


@pytest.fixture(scope="module")
def written(model: Model, crops: Crops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("stablehlo") / "model.stablehlo"
    export_stablehlo(model, target, crops)
    return target


@pytest.fixture
def exported(written: Path) -> export.Exported:
    return export.deserialize(bytearray(written.read_bytes()))


def made(network: Network) -> export.Exported:
    """The program of a network whose weights are all 0."""
    params, batch_stats = jax.tree.map(lambda of: np.zeros(of.shape, of.dtype), shapes(network))
    return make_stablehlo(network, params, batch_stats, SIZE)


def test_the_program_embeds_as_the_model(model: Model, crops: Crops, written: Path) -> None:
    images = crops.resized(SIZE)
    expected = model.embed(images, BATCH)
    # Another batch than that of the check.
    found = run_stablehlo(written.read_bytes(), images[:5])
    np.testing.assert_allclose(found, expected[:5], rtol=1e-3, atol=2e-4)
    card = json.loads((written.parent / "model.stablehlo.json").read_text())
    assert card["model"]["fingerprint"] == model.fingerprint
    assert card["input"]["shape"] == ["batch", *SIZE, 3]
    assert card["output"]["shape"] == ["batch", 48]
    assert 0 < card["checks"]["relative_difference_max"] < 1e-5
    assert (card["checks"]["images"], card["checks"]["platform"]) == (8, jax.default_backend())


def test_it_is_for_all_platforms_and_any_batch(written: Path, exported: export.Exported) -> None:
    assert exported.platforms == PLATFORMS == ("cpu", "cuda", "tpu")
    assert not exported.disabled_safety_checks
    assert str(exported.in_avals) == "(ShapedArray(uint8[batch,32,16,3]),)"
    assert str(exported.out_avals) == "(ShapedArray(float32[batch,48]),)"
    card = json.loads(written.with_name("model.stablehlo.json").read_text())
    assert card["jax"] == jax.__version__
    assert card["calling_convention_version"] == exported.calling_convention_version


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_lowers_the_file(exported: export.Exported, platform: str) -> None:
    images = jax.ShapeDtypeStruct((2, *SIZE, 3), np.uint8)
    traced = jax.jit(exported.call).trace(images)
    assert "tensor<2x48xf32>" in traced.lower(lowering_platforms=(platform,)).as_text()
    with pytest.raises(ValueError, match="rocm"):
        traced.lower(lowering_platforms=("rocm",))


def test_a_resnet_50_has_53_convolutions_and_those_of_the_part_block() -> None:
    """A CPU's forms would be dots; a branch stands there for each platform, of the same kind."""
    config = ModelConfig(width=1 / 16, embedding_size=8)
    text = made(create_network(config, "pmm", 5)).mlir_module()
    operations = re.findall(r"stablehlo\.(\w+)\W", text)
    assert operations.count("convolution") == len(PLATFORMS) * (53 + 3)
    assert operations.count("dot_general") == len(PLATFORMS) * 3  # the heads' reductions
    assert operations.count("reduce_window") == 1


def test_the_same_model_gives_the_same_bytes_and_no_name_of_a_file(
    model: Model, written: Path
) -> None:
    def another_caller() -> bytes:
        params, batch_stats = jax.device_put((model.params, model.batch_stats))
        return bytes(make_stablehlo(model.network, params, batch_stats, SIZE).serialize())

    before = getattr(jax.config, "jax_traceback_in_locations_limit")  # noqa: B009
    data = written.read_bytes()
    assert another_caller() == data
    assert b".py" not in data
    assert getattr(jax.config, "jax_traceback_in_locations_limit") == before != 0  # noqa: B009


def test_the_first_stages_are_checked_and_hold_what_they_use(
    model: Model, crops: Crops, written: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a.stablehlo"
    card = export_stablehlo(model, target, crops, stages=1)
    assert card["output"]["shape"] == ["batch", 16]
    assert card["model"]["heads"] == {"stage1": 16}
    assert card["checks"]["relative_difference_max"] < 1e-5
    weights = {name: model.params[name].copy() for name in ("part_block", "stage2", "stage3")}
    for head in ("stage2", "stage3"):
        del weights[head]["classifier"]
    left_out = 4 * sum(np.size(value) for value in jax.tree.leaves(weights))
    assert written.stat().st_size - target.stat().st_size > left_out


def test_the_part_block_stays_for_the_second_stage(model: Model) -> None:
    modules = with_heads(model.network, ["stage1", "stage2"]).modules
    assert list(modules) == ["trunk", "stage1", "part_block", "stage2"]


def test_classifiers_are_left_out() -> None:
    few, many = (create_network(SIZES, "baseline", identities) for identities in (5, 500))
    assert len(made(few).mlir_module_serialized) == len(made(many).mlir_module_serialized)


def test_a_program_that_embeds_differently_is_not_left_behind(
    model: Model, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(data: bytes, images: np.ndarray) -> np.ndarray:
        return model.embed(images, BATCH) * np.float32(1.001)

    monkeypatch.setattr(stablehlo_file, "run_stablehlo", run)
    with pytest.raises(UserError, match=r"a\.stablehlo is not written: jax's embeddings differ"):
        export_stablehlo(model, tmp_path / "a.stablehlo", crops)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(
    model: Model, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(exported: export.Exported) -> bytearray:
        raise ImportError("Please install 'flatbuffers'")

    monkeypatch.setattr(export.Exported, "serialize", missing)
    with pytest.raises(UserError, match=r'pip install "pmm_jax\[export\]"'):
        export_stablehlo(model, tmp_path / "a.stablehlo", crops)
    assert not list(tmp_path.iterdir())
