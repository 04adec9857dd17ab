"""eval.py takes the run's own config from its workdir; options change its evaluation alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pmm_jax.cli.eval import eval_command
from pmm_jax.cli.eval_options import run_to_evaluate
from pmm_jax.cli.parsing import parse
from pmm_jax.config import Config, DataConfig, EvaluateConfig, ModelConfig
from pmm_jax.errors import UserError
from pmm_jax.workdir.run_config import register_run

OWN = Config(
    data=DataConfig(name="folder", root="people", image_size=(192, 64)),
    model=ModelConfig(width=0.25),
    evaluate=EvaluateConfig(rerank=True),
)


@pytest.fixture
def workdir(tmp_path: Path) -> str:
    register_run(tmp_path / "run", OWN)
    return str(tmp_path / "run")


def config_file(folder: Path, body: str) -> str:
    file = folder / "config.py"
    file.write_text(f"from pmm_jax.config import *\nconfig = Config({body})\n")
    return str(file)


def test_the_workdir_is_enough(workdir: str) -> None:
    config, options, note = run_to_evaluate(["--workdir", workdir])
    assert config == OWN
    assert options.workdir == workdir
    assert note == ""


def test_options_change_the_evaluation_and_where_the_images_lie(workdir: str) -> None:
    words = ["--evaluate.no-rerank", "--evaluate.distance=cosine", "--data.root", "moved"]
    config, _, _ = run_to_evaluate(["--workdir", workdir, *words, "--data.num-workers", "7"])
    assert config.evaluate == replace(OWN.evaluate, rerank=False, distance="cosine")
    assert config.data == replace(OWN.data, root="moved", num_workers=7)
    assert config.model == OWN.model


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.width", "0.5"], r"trained with model\.width 0\.25, not 0\.5; it stays"),
        (["--data.image-size", "384", "64"], r"image_size \[192, 64\], not \[384, 64\]"),
        (["--data.name", "market1501"], r"not \"market1501\"; add --cross-domain"),
        (["--cross-domain", "--model.width", "0.5"], r"model\.width 0\.25, not 0\.5"),
        (["--model.wdith", "0.5"], r"did you mean --model\.width"),
    ],
)
def test_what_was_trained_stays(workdir: str, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        run_to_evaluate(["--workdir", workdir, *words])


def test_where_the_queries_go_is_checked_before_any_work(tmp_path: Path) -> None:
    for target, said in ((tmp_path, "is a folder"), (tmp_path / "none" / "q.csv", "no folder")):
        with pytest.raises(UserError, match=said):
            eval_command(
                ["--embeddings", str(tmp_path / "missing.npz"), "--per-query", str(target)]
            )


def test_a_config_file_is_allowed_and_changes_nothing(workdir: str, tmp_path: Path) -> None:
    """The options that the training had besides it may be forgotten."""
    path = config_file(tmp_path, 'data=DataConfig(name="folder", image_size=(192, 64))')
    config, _, note = run_to_evaluate(["--config", path, "--workdir", workdir])
    assert config == OWN
    assert "trained with model.width 0.25" in note
    assert "image_size" not in note


def test_a_config_file_of_another_set_asks_for_a_word(workdir: str, tmp_path: Path) -> None:
    path = config_file(tmp_path, 'data=DataConfig(name="market1501", root="m")')
    with pytest.raises(UserError, match=r"names market1501, .* trained on folder"):
        run_to_evaluate(["--config", path, "--workdir", workdir])
    config, _, _ = run_to_evaluate(["--config", path, "--workdir", workdir, "--cross-domain"])
    assert config == replace(OWN, data=replace(OWN.data, name="market1501", root="m"))


def test_another_set_may_be_named_by_options(workdir: str) -> None:
    words = ["--cross-domain", "--data.name", "market1501", "--data.root", "m"]
    config, _, _ = run_to_evaluate(["--workdir", workdir, *words])
    assert config == replace(OWN, data=replace(OWN.data, name="market1501", root="m"))


def test_options_are_parsed_once(workdir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return parse(*arguments)

    monkeypatch.setattr("pmm_jax.cli.parsing.parse", counted)
    monkeypatch.setattr("pmm_jax.cli.eval_options.parse", counted)
    _, options, _ = run_to_evaluate(["--workdir", "none", "--workdir", workdir, "--roc"])
    assert options.roc
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("words", "is_on"),
    [
        ([], False),
        (["--cross-domain"], True),
        (["--cross_domain"], True),
        (["--cross-domain", "--no-cross-domain"], False),
        (["--no-cross-domain", "--cross-domain"], True),
    ],
)
def test_a_switch_is_read_as_the_parser_reads_it(
    workdir: str, tmp_path: Path, words: list[str], is_on: bool
) -> None:
    path = config_file(tmp_path, 'data=DataConfig(name="market1501", root="m")')
    arguments = ["--config", path, "--workdir", workdir, *words]
    if is_on:
        config, options, _ = run_to_evaluate(arguments)
        assert options.cross_domain
        assert config.data.root == "m"
    else:
        with pytest.raises(UserError, match="add --cross-domain"):
            run_to_evaluate(arguments)
