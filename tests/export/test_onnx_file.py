"""Files of each consumer, fed as it feeds them; and what is refused."""

import json
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from pmm_jax.api import Model
from pmm_jax.cli.export_onnx import Options
from pmm_jax.config import ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.export import onnx_file
from pmm_jax.export.crops import Crops, find_crops
from pmm_jax.export.file_card import compare
from pmm_jax.export.onnx_check import run_onnx
from pmm_jax.export.onnx_file import OnnxOptions, export_onnx
from pmm_jax.export.presets import PRESETS, Preset
from pmm_jax.model.pmm import create_network
from tests.export.test_onnx_graph import random_values
from tests.extras import needs_export

pytestmark = needs_export
SIZE = (32, 16)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def model() -> Model:
    sizes = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16)
    network = create_network(sizes, "pmm", 5)
    return Model("pmm", network, *random_values(network), SIZE)


@pytest.fixture(scope="module")
def crops() -> Crops:
    return Crops(list(find_crops(None, 8).resized(SIZE)), "tests")


EMBED: Any = onnx_file.reference
MAKE: Any = onnx_file.make_onnx
KNOWN: dict[bytes, np.ndarray] = {}


@pytest.fixture(autouse=True)
def _compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own embeddings of the same images are computed once in this file."""

    def embed(*values: Any) -> np.ndarray:
        key = values[3].tobytes()
        if key not in KNOWN:
            KNOWN[key] = EMBED(*values)
        return KNOWN[key]

    monkeypatch.setattr(onnx_file, "reference", embed)


def fed_by_the_consumer(preset: str, images: np.ndarray) -> np.ndarray:
    """Written anew from the consumers' own code (shared table), not from PRESETS."""
    rgb = images.transpose(0, 3, 1, 2).astype(np.float32)
    if preset == "plain":
        return images
    if preset == "boxmot":
        scaled = rgb / 255 - MEAN[None, :, None, None]
        return (scaled / STD[None, :, None, None]).astype(np.float32)
    if preset == "ultralytics":  # rows are there, columns are doubled: linear, so exact
        return np.repeat(rgb, 2, axis=3) / 255
    return rgb[:, ::-1] if preset == "openvino" else rgb


@pytest.mark.parametrize("preset", PRESETS)
def test_a_consumer_gets_the_embedding_of_the_model(
    model: Model, crops: Crops, preset: str, tmp_path: Path
) -> None:
    import onnx

    target = tmp_path / "model.onnx"
    card = export_onnx(model, target, crops, OnnxOptions(preset))
    onnx.checker.check_model(target, full_check=True)
    images = crops.resized(SIZE)
    found = run_onnx(target.read_bytes(), fed_by_the_consumer(preset, images))
    np.testing.assert_allclose(found, model.embed(images), rtol=1e-3, atol=2e-4)
    assert card == json.loads((tmp_path / "model.onnx.json").read_text())
    assert card["checks"]["relative_difference_max"] < 1e-5
    names = {"boxmot": ("images", "output0"), "openvino": ("images", "reid_embedding")}
    names |= {"tensorrt": ("input", "embedding"), "ultralytics": ("images", "output0")}
    expected = names.get(preset, ("images", "embedding"))
    assert (card["input"]["name"], card["output"]["name"]) == expected
    beside = {"boxmot": {"model.onnx.metadata.json"}, "deepstream": {"model.yml"}}
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"model.onnx", "model.onnx.json"} | beside.get(preset, set())


def test_the_file_has_the_form_that_its_card_names(
    model: Model, crops: Crops, tmp_path: Path
) -> None:
    import onnx

    target = tmp_path / "model.onnx"
    card = export_onnx(model, target, crops, OnnxOptions("boxmot"))
    written = onnx.load(target)
    shape = [d.dim_param or d.dim_value for d in written.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", 3, 32, 16] == card["input"]["shape"]
    assert (written.opset_import[0].version, written.ir_version) == (17, 10)
    metadata = json.loads((tmp_path / "model.onnx.metadata.json").read_text())
    assert (metadata["preprocess"], metadata["img_size"]) == ("resize", [32, 16])
    assert card["normalization"]["where"] == "outside, by the consumer"


def test_deepstream_is_told_to_leave_normalization_to_the_graph(
    model: Model, crops: Crops, tmp_path: Path
) -> None:
    card = export_onnx(model, tmp_path / "m.onnx", crops, OnnxOptions("deepstream", 1))
    lines = (tmp_path / "m.yml").read_text().splitlines()
    assert card["normalization"]["where"] == "inside the graph"
    for line in ("offsets: [0.0, 0.0, 0.0]", "netScaleFactor: 1.0", "inferDims: [3, 32, 16]"):
        assert f"  {line}" in lines
    assert "  reidFeatureSize: 16" in lines


@pytest.mark.parametrize(
    ("precision", "size", "difference", "images"),
    [
        ("float16", 0.6, 0.01, 8),
        # The other half of the images is the calibration's.
        pytest.param("int8", 0.45, 0.5, 4, marks=pytest.mark.slow),
    ],
)
def test_other_precisions_are_smaller_and_near(
    model: Model,
    crops: Crops,
    tmp_path: Path,
    precision: Any,
    size: float,
    difference: float,
    images: int,
) -> None:
    whole, small = tmp_path / "whole.onnx", tmp_path / "small.onnx"
    export_onnx(model, whole, crops, OnnxOptions())
    checks = export_onnx(model, small, crops, OnnxOptions(precision=precision))["checks"]
    assert 1e-5 < checks["relative_difference_max"] < difference
    assert checks["images"] == images
    assert small.stat().st_size < size * whole.stat().st_size


def test_int8_is_exact_where_two_products_are_added_in_16_bits(
    model: Model, crops: Crops, tmp_path: Path
) -> None:
    """As x86 without VNNI adds them: products of a byte and a weight, 255 * 64 * 2 < 2**15."""
    import onnx
    from onnx import numpy_helper

    export_onnx(model, tmp_path / "m.onnx", crops, OnnxOptions(precision="int8"))
    graph = onnx.load(tmp_path / "m.onnx").graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    made_of = {n.output[0]: n.input for n in graph.node if n.op_type == "DequantizeLinear"}
    layers = [node.input[:2] for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) > 3
    for features, kernel in layers:
        assert arrays[made_of[features][2]].dtype == np.uint8  # the zero point
        assert 32 < np.abs(arrays[made_of[kernel][0]].astype(int)).max() <= 64


def test_a_file_that_differs_is_not_left_behind(
    model: Model, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = PRESETS["boxmot"]._replace(range="0..1")

    def make(*values: Any) -> Any:
        return MAKE(*(twice if isinstance(value, Preset) else value for value in values))

    monkeypatch.setattr(onnx_file, "make_onnx", make)
    with pytest.raises(UserError, match=r"is not written: .* differ from the model's by"):
        export_onnx(model, tmp_path / "model.onnx", crops, OnnxOptions("boxmot"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_extra_is_named(
    model: Model, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r'pip install "pmm_jax\[export\]"'):
        export_onnx(model, tmp_path / "model.onnx", crops, OnnxOptions())


def test_what_cannot_be_written_leaves_nothing(model: Model, crops: Crops, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(UserError, match="can't write"):
        export_onnx(model, tmp_path / "model.onnx", crops, OnnxOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_the_command_line_names_all_presets() -> None:
    assert get_args(get_type_hints(Options)["preset"]) == tuple(PRESETS)


def test_embeddings_of_zero_prove_nothing(tmp_path: Path) -> None:
    zeros = np.zeros((2, 4), np.float32)
    with pytest.raises(UserError, match="the model's own embeddings are zero"):
        compare(tmp_path / "a.onnx", "onnxruntime", zeros, zeros, 1e-4)
