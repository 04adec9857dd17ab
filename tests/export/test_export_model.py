"""What `pmm export RUN MODEL.safetensors` knows, and the card that it writes."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData

from pmm_jax.api import Model
from pmm_jax.config import Config, DataConfig, EvaluateConfig, ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.export.card import model_card
from pmm_jax.export.model_file import add_to_info, export_model, known_intervals
from pmm_jax.methods import create_model
from pmm_jax.model.initial import init_params
from pmm_jax.model.pmm import Network, Tree
from pmm_jax.model_file import ModelInfo
from tests.test_calibration import MADE

METRICS = {"rank1": 0.8125, "rank5": 0.9, "mAP": 0.5, "mINP": None}
INTERVALS = {"rank1": [0.75, 0.875], "mAP": [0.4375, 0.5625]}
CONFIG = Config(
    data=DataConfig(image_size=(64, 32), erase_size=16),
    model=ModelConfig(stage_sizes=(1, 1, 1, 1), width=0.125, embedding_size=16),
    evaluate=EvaluateConfig(distance="cosine"),
)
INFO = ModelInfo(CONFIG, 480, "f00d", METRICS, {})


@cache
def weights(identities: int) -> tuple[Network, Tree, Tree]:
    network = create_model(CONFIG, identities)
    return network, *init_params(network, 0)


def made(info: ModelInfo | None, identities: int = 5) -> Model:
    return Model("pmm", *weights(identities), (64, 32), info)


@pytest.fixture(scope="module")
def model() -> Model:
    return made(INFO)


def report(run: Path, evaluation: object) -> Path:
    (run / "report.json").write_text(json.dumps({"result": {"evaluation": evaluation}}))
    return run


def test_intervals_are_those_of_the_same_metrics(tmp_path: Path) -> None:
    assert known_intervals(tmp_path, METRICS) == {}
    report(tmp_path, {**METRICS, "intervals": INTERVALS})
    assert known_intervals(tmp_path, METRICS) == {"rank1": (0.75, 0.875), "mAP": (0.4375, 0.5625)}
    assert known_intervals(tmp_path, METRICS | {"rank1": 0.8}) == {}
    assert known_intervals(tmp_path, {}) == {}
    assert known_intervals(tmp_path / "report.json", METRICS) == {}


@pytest.mark.parametrize(
    "intervals", [None, [], {"mAP": 1}, {"mAP": [1]}, {"mAP": ["x", 1]}, {"mAP": [2, 3]}]
)
def test_a_report_that_somebody_wrote_into_is_no_error(tmp_path: Path, intervals: object) -> None:
    assert known_intervals(report(tmp_path, METRICS | {"intervals": intervals}), METRICS) == {}


def test_what_the_user_states_is_added(tmp_path: Path, model: Model) -> None:
    report(tmp_path, {**METRICS, "intervals": INTERVALS})
    info = add_to_info(model, tmp_path, "CC0", "")
    assert (info.data_license, info.weights_license) == ("CC0", "")
    assert info.intervals["mAP"] == (0.4375, 0.5625)
    kept = add_to_info(made(info), tmp_path / "none", "", "MIT")
    assert kept == replace(info, weights_license="MIT")
    with pytest.raises(UserError, match="holds weights alone, without a config"):
        add_to_info(made(None), Path("w.pth"), "", "")


def card_of(model: Model) -> tuple[str, ModelCardData]:
    """Text and front matter, as the hub's own client reads them."""
    card = ModelCard(model_card(model, "m.safetensors"), ignore_metadata_errors=False)
    assert isinstance(card.data, ModelCardData)
    return card.text, card.data


def test_the_hub_reads_the_card(model: Model) -> None:
    text, data = card_of(model)
    assert (data.library_name, data.license, data.datasets) == ("pmm_jax", "unknown", None)
    assert data.tags is not None
    assert "person-re-identification" in data.tags
    found = {result.metric_type: result.metric_value for result in data.eval_results or []}
    assert found == {"rank1": 81.2, "rank5": 90.0, "mAP": 50.0}
    assert "| Rank-1 | 81.2 | not known |" in text
    assert 'pmm_jax.load("m.safetensors")' in text
    assert "compare by cosine distance" in text
    assert "48 numbers, not normalized: 3 parts of 16, 16, 16" in text
    assert model.fingerprint in text
    assert "`f00d`" in text
    assert "- Weights: not stated" in text
    assert "Re-identification of people is sensitive" in text
    assert "{{" not in text
    assert "\n\n\n" not in text


def test_the_card_shows_intervals_and_licenses() -> None:
    info = replace(
        INFO,
        data_license="mine: all of it",
        weights_license="- [odd] # words",
        intervals={"mAP": (0.4375, 0.5625)},
    )
    text, data = card_of(made(info))
    assert "| mAP | 50.0 | 43.8 to 56.2 |" in text
    assert (data.license, data.license_name) == ("other", "- [odd] # words")
    assert "- Training data: mine: all of it" in text
    _, known = card_of(made(replace(INFO, weights_license="Apache-2.0")))
    assert (known.license, known.license_name) == ("apache-2.0", None)


def test_a_data_set_is_named_only_where_it_is_that_one(model: Model) -> None:
    assert "own data (layout: market1501)" in card_of(model)[0]
    text, data = card_of(made(INFO, 751))
    assert data.datasets == ["market1501"]
    assert [result.dataset_name for result in data.eval_results or []] == ["market1501"] * 3
    assert "own data" not in text


def test_a_card_of_what_was_not_evaluated() -> None:
    text, data = card_of(made(replace(INFO, metrics={}, data_fingerprint=None)))
    assert "were not evaluated by their run" in text
    assert data.eval_results is None
    with pytest.raises(UserError, match="needs to know the run"):
        model_card(made(None), "m.safetensors")


def test_the_card_lies_beside_the_file_and_takes_no_place(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.safetensors"
    export_model(model, path, with_card=True)
    assert sorted(file.name for file in path.parent.iterdir()) == ["README.md", "m.safetensors"]
    export_model(model, path, with_card=True)
    (path.parent / "README.md").write_text("my words")
    path.unlink()
    with pytest.raises(UserError, match=r"README\.md is there already"):
        export_model(model, path, with_card=True)
    assert [file.name for file in path.parent.iterdir()] == ["README.md"]
    assert (path.parent / "README.md").read_text() == "my words"


def test_a_note_is_a_line_of_text(tmp_path: Path) -> None:
    wrong = made(replace(INFO, data_license="a\nb"))
    with pytest.raises(UserError, match="must be a line of at most 2000"):
        export_model(wrong, tmp_path / "m.safetensors", with_card=True)
    assert list(tmp_path.iterdir()) == []


def test_a_card_tells_of_a_threshold(model: Model) -> None:
    assert "A threshold" not in model_card(model, "m.safetensors")
    calibrated = made(INFO)
    calibrated.calibration = MADE
    text = model_card(calibrated, "m.safetensors")
    assert "Below a distance of 2 (cosine: Euclidean at unit length)" in text
    assert "| different people, false matches | 0.1 | 0.05 to 0.2 |" in text
    assert "| one person, missed matches | 30.0 | 20.0 to 40.0 |" in text
    assert "Calibrated on 100 people by 2 cameras" in text
