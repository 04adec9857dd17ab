"""A model file holds the whole model, exactly, and is refused when anything in it is not so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import pmm_jax
from pmm_jax.api import Model
from pmm_jax.config import Config, DataConfig, MethodConfig, ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.export.model_file import export_model
from pmm_jax.methods import create_model, get_method
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import create_network
from pmm_jax.model.safetensors_file import encode_safetensors
from pmm_jax.model.torch_checkpoint import Loaded, load_state_dict
from pmm_jax.model.weights_file import WeightsAlone, read_with_header
from pmm_jax.model_file import ModelInfo, model_parts
from pmm_jax.training.state import TrainState
from pmm_jax.workdir.calibration_file import CALIBRATION, write_calibration
from pmm_jax.workdir.checkpoint import Checkpoints
from pmm_jax.workdir.run_config import register_run
from tests.test_calibration import MADE

SIZES = ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16, weights="scratch")
CONFIG = Config(
    data=DataConfig(name="folder", root="/home/somebody/crops", image_size=(64, 32), erase_size=16),
    model=SIZES,
    method=MethodConfig(top_k=1, block=(1, 1)),
)
INFO = ModelInfo(CONFIG, 7, "f00d", {"mAP": 0.25, "rank1": None}, {"mAP": (0.125, 0.5)}, "CC0", "")


def changed(trees: Any) -> Any:
    """Values of all magnitudes: initial statistics are zeros and ones."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: np.abs(rng.normal(size=x.shape)).astype(np.float32) / 3, trees)


def made(config: Config) -> Model:
    network = create_model(config, 5)
    kind, info = get_method(config).network, replace(INFO, config=config)
    params, batch_stats = changed(init_params(network, 0))
    return Model(kind, network, params, batch_stats, (64, 32), info)


@pytest.fixture(scope="module")
def model() -> Model:
    return made(CONFIG)


@pytest.fixture
def file(model: Model, tmp_path: Path) -> Path:
    export_model(model, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def assert_same(one: Model, other: Model) -> None:
    trees = ((model.params, model.batch_stats) for model in (one, other))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), b, strict=True), *trees)
    assert (one.kind, one.image_size) == (other.kind, other.image_size)
    assert one.fingerprint == other.fingerprint
    assert one.network.compute_dtype == other.network.compute_dtype
    assert list(one.network.modules) == list(other.network.modules)


KINDS = {
    "pmm": CONFIG,
    "two_stages": replace(CONFIG, method=replace(CONFIG.method, stages=2)),
    "one_stage": replace(CONFIG, method=replace(CONFIG.method, name="none", stages=1)),
    "bdb": replace(CONFIG, method=replace(CONFIG.method, name="bdb")),
    "gem": replace(CONFIG, model=replace(SIZES, pooling="gem")),
    "bnneck": replace(CONFIG, model=replace(SIZES, neck="bnneck")),
    "bdb_gem": replace(
        CONFIG, method=replace(CONFIG.method, name="bdb"), model=replace(SIZES, pooling="gem")
    ),
    "baseline_bnneck_ibn": replace(
        CONFIG,
        method=replace(CONFIG.method, name="baseline"),
        model=replace(SIZES, neck="bnneck", compute_dtype="bfloat16", ibn_a=True),
    ),
}
QUICK = ("bdb_gem", "baseline_bnneck_ibn")


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k in QUICK else pytest.mark.slow) for k in KINDS]
)
def test_every_kind_comes_back_to_the_bit(kind: str, tmp_path: Path) -> None:
    model, path = made(KINDS[kind]), tmp_path / "m.safetensors"
    export_model(model, path)
    assert_same(pmm_jax.load(path), model)


def test_load_torch_and_other_tools_read_its_weights(model: Model, file: Path) -> None:
    found = pmm_jax.load_torch(file, image_size=(64, 32))
    assert_same(found, model)
    assert found.info is None
    theirs, ours = load_file(file), model.state_dict()
    assert {name: value.tobytes() for name, value in theirs.items()} == {
        name: value.tobytes() for name, value in ours.items()
    }


def test_a_trunk_of_which_nothing_else_is_known_comes_back(tmp_path: Path) -> None:
    network = create_network(SIZES, "trunk", 1)
    params, batch_stats = changed(init_params(network, 0))
    trunk = Model("trunk", network, params, batch_stats, (64, 32))
    export_model(trunk, tmp_path / "m.safetensors")
    found = pmm_jax.load(tmp_path / "m.safetensors")
    assert_same(found, trunk)
    assert found.info is None


def test_it_knows_where_it_came_from_but_no_machines_folder(tmp_path: Path) -> None:
    sizes = replace(SIZES, weights="/home/somebody/trunk.pth")
    path = tmp_path / "m.safetensors"
    export_model(made(replace(CONFIG, model=sizes)), path)
    assert b"somebody" not in path.read_bytes()
    data = replace(CONFIG.data, root=DataConfig().root)
    config = replace(CONFIG, data=data, model=replace(SIZES, weights="trunk.pth"))
    assert pmm_jax.load(path).info == replace(INFO, config=config)


@pytest.mark.slow
def test_it_embeds_as_before(model: Model, file: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(pmm_jax.load(file).embed(images), model.embed(images))


def test_a_run_and_its_file_have_one_fingerprint_and_its_own_metrics(tmp_path: Path) -> None:
    run = tmp_path / "run"
    register_run(run, CONFIG, data="f00d")
    params, batch_stats = init_params(create_model(CONFIG, 5), 0)
    with Checkpoints(run) as checkpoints:
        for step, mAP in ((1, 0.9), (2, 0.1)):
            moved = jax.tree.map(lambda x, step=step: x + np.float32(step), params)
            state = TrainState(jnp.int32(step), moved, batch_stats, ())
            checkpoints.save(step, state)
            checkpoints.add_evaluation(step, {"mAP": mAP})
    found = {}
    for checkpoint in ("latest", "best"):
        model = pmm_jax.load(run, checkpoint)
        export_model(model, tmp_path / checkpoint)
        found[checkpoint] = pmm_jax.load(tmp_path / checkpoint)
        assert_same(found[checkpoint], model)
    assert found["latest"].fingerprint != found["best"].fingerprint
    infos = [model.info for model in found.values()]
    assert [(info.step, dict(info.metrics)) for info in infos if info] == [
        (2, {"mAP": 0.1}),
        (1, {"mAP": 0.9}),
    ]
    assert infos[0] is not None
    assert infos[0].data_fingerprint == "f00d"


def test_the_fingerprint_is_of_weights_and_preprocessing_alone(model: Model) -> None:
    other = Model(model.kind, model.network, model.params, model.batch_stats, (64, 32))
    assert other.fingerprint == model.fingerprint
    resized = Model(model.kind, model.network, model.params, model.batch_stats, (96, 32))
    assert resized.fingerprint != model.fingerprint
    stats = jax.tree.map(lambda x: x * 2, model.batch_stats)
    moved = Model(model.kind, model.network, model.params, stats, (64, 32))
    assert moved.fingerprint != model.fingerprint


def refusal(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        pmm_jax.load(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_flipped_bytes_are_refused(file: Path) -> None:
    whole = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 30):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        file.write_bytes(flipped)
        refusal(file)


def setting(*names: str, value: Any) -> Any:
    def change(header: dict[str, Any]) -> None:
        for name in names[:-1]:
            header = header[name]
        header[names[-1]] = value

    return change


LIES = {
    "kind": (setting("kind", value="bdb"), "a network of kind pmm for 5"),
    "identities": (setting("identities", value=6), "a network of kind pmm for 5"),
    "mean": (setting("preprocessing", "mean", value=[0, 0, 0]), "preprocessing is another"),
    "size": (setting("preprocessing", "image_size", value=[96, 32]), "another image size"),
    "huge": (setting("preprocessing", "image_size", value=[10**9, 32]), "between 16 and 2048"),
    "no_size": (setting("preprocessing", value={}), "no 'image_size'"),
    "run": (setting("run", value=[]), "no field"),
    "run_text": (setting("run", value="x"), "no field"),
    "field": (setting("run", "more", value=1), "no field 'more'"),
    "config": (setting("run", "config", value=None), "no attribute"),
    "config_field": (setting("run", "config", "optim", "eps", value="x"), "eps is 'x'"),
    "stages": (setting("run", "config", "method", "stages", value=2), "not those of its config"),
    "other": (setting("run", "config", "method", "name", value="os.system"), "must be one of"),
    "width": (setting("run", "config", "model", "width", value=1), "not those of its config"),
    "blocks": (
        setting("run", "config", "model", "stage_sizes", value=[64] * 4),
        "not those of its config",
    ),
    "metrics": (setting("run", "metrics", value={"mAP": 10**400}), "no fraction"),
    "metric_text": (setting("run", "metrics", value={"mAP": "1"}), "no fraction"),
    "many": (setting("run", "metrics", value={str(n): 0.5 for n in range(101)}), "not those of"),
    "interval": (setting("run", "intervals", value={"mAP": [0.1]}), "not those of a run"),
    "metric_name": (setting("run", "metrics", value={"a\nb": 0.5}), "must be a line"),
    "fingerprint": (setting("run", "data_fingerprint", value="x" * 2001), "must be a line"),
    "step": (setting("run", "step", value=True), "step is no number"),
    "license": (setting("run", "data_license", value="a\nerror: b"), "must be a line"),
    "license_number": (setting("run", "data_license", value=1), "no attribute"),
}


@pytest.fixture(scope="module")
def contents(model: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Any]:
    path = tmp_path_factory.mktemp("whole") / "m.safetensors"
    export_model(model, path)
    tensors, header = read_with_header(path, "")
    return load_state_dict("whole", tensors), header


@pytest.mark.parametrize("lie", LIES)
def test_what_the_header_says_must_be_true(lie: str, contents: tuple[Loaded, Any]) -> None:
    loaded, header = contents
    change, said = LIES[lie]
    header = json.loads(json.dumps(header))
    change(header)
    with pytest.raises(UserError) as caught:
        model_parts(Path("m.safetensors"), loaded, header)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("version", [2, None, "1", [1]])
def test_another_format_is_refused_by_its_number(
    version: Any, model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_safetensors(model.state_dict(), {"format": version}))
    assert f"format {version!r}, and this version of pmm_jax reads format 1" in refusal(path)


def test_weights_alone_are_for_load_torch(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    model.save(path)
    with pytest.raises(WeightsAlone, match="weights alone, which load_torch reads"):
        pmm_jax.load(path)
    assert pmm_jax.load_torch(path, (64, 32)).fingerprint == model.fingerprint
    with pytest.raises(UserError, match="no run's folder, so there is no best checkpoint"):
        pmm_jax.load(path, "best")
    assert "No such file" in refusal(tmp_path / "none.safetensors")


@pytest.fixture
def hub(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache without a network, with the model as somebody/reid at `main` and `v1`."""
    repository = tmp_path / "hub" / "models--somebody--reid"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    for name in ("main", "v1"):
        (repository / "refs" / name).write_text("a" * 40)
    (snapshot / "model.safetensors").write_bytes(file.read_bytes())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_model_of_the_hub(hub: Path, model: Model) -> None:
    assert_same(pmm_jax.load("hf://somebody/reid"), model)
    assert pmm_jax.load("hf://somebody/reid@v1").fingerprint == model.fingerprint
    for name in ("hf://somebody/other", "hf://somebody/reid@v2"):
        assert f"can't get {name} (" in refusal(name)
    for name in ("hf://reid", "hf:reid", "hf://../../reid", "hf://a/b@", "hf://a/b\n"):
        refusal(name)
    (hub / "model.safetensors").write_bytes(b"<html>")
    assert "a page of HTML" in refusal("hf://somebody/reid")


@pytest.fixture
def calibrated(model: Model, tmp_path: Path) -> Path:
    own = replace(MADE, model=model.fingerprint)
    parts = model.kind, model.network, model.params, model.batch_stats, model.image_size
    export_model(Model(*parts, model.info, own), tmp_path / "c.safetensors")
    return tmp_path / "c.safetensors"


def test_a_threshold_comes_back_and_no_digit_of_it_changes(calibrated: Path, model: Model) -> None:
    assert pmm_jax.load(calibrated).calibration == replace(MADE, model=model.fingerprint)
    whole = calibrated.read_bytes()
    place = whole.index(b'threshold\\": 2.0') + len(b'threshold\\": ')
    calibrated.write_bytes(whole[:place] + b"9" + whole[place + 1 :])
    assert "is damaged" in refusal(calibrated)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "0" * 64}, "its threshold is another model's"),
        ({"threshold": -1}, "its threshold is no number"),
        ({"interval": None}, "its interval is no interval"),
        ({"cameras": "roof"}, "its cameras are no list"),
        ({"more": 1}, "no calibration of this version"),
    ],
)
def test_another_threshold_than_calibrate_writes_is_refused(
    calibrated: Path, model: Model, change: dict[str, Any], said: str
) -> None:
    _, header = read_with_header(calibrated, "")
    header["calibration"] |= change
    calibrated.write_bytes(encode_safetensors(model.state_dict(), header))
    assert said in refusal(calibrated)


def test_a_runs_threshold_is_of_one_checkpoint(
    tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    register_run(run, CONFIG, data="f00d")
    with Checkpoints(run) as checkpoints:
        state = TrainState(jnp.int32(1), model.params, model.batch_stats, ())
        checkpoints.save(1, state)
    assert pmm_jax.load(run).calibration is None
    own = replace(MADE, model=model.fingerprint)
    write_calibration(run, own)
    assert pmm_jax.load(run).calibration == own
    write_calibration(run, MADE)
    assert pmm_jax.load(run).calibration is None
    assert "is of another checkpoint, and left out; calibrate again" in caplog.text
    (run / CALIBRATION).write_text("[" * 100_000)
    assert "is damaged" in refusal(run)
    (run / CALIBRATION).write_text(json.dumps(own.as_json() | {"threshold": "2"}))
    assert "remove it, and run pmm calibrate again" in refusal(run)
