"""Command lines, config files and config.json of any content."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from pmm_jax.cli.ablate import AblateOptions
from pmm_jax.cli.compare import CompareOptions
from pmm_jax.cli.config_file import load_config
from pmm_jax.cli.demo import DemoOptions
from pmm_jax.cli.eval_options import FileOptions, RunOptions
from pmm_jax.cli.parsing import parse, parse_run
from pmm_jax.cli.train import TrainOptions
from pmm_jax.config import Config
from pmm_jax.config_check import check, parse_config
from pmm_jax.data.synthetic import SyntheticSettings
from pmm_jax.fields import check_fields
from tests.fuzz.outcome import empty_folder, outcome
from tests.fuzz.strategies import command_lines, config_bodies, config_texts

RUNS = [TrainOptions, RunOptions, DemoOptions, CompareOptions, AblateOptions]


def comes_back(config: Config) -> None:
    """What was accepted is what config.json says, and is accepted again."""
    assert check(config) is config
    assert parse_config(json.dumps(asdict(config))) == config


@given(command_lines(TrainOptions))
def test_a_command_line_of_a_run(words: list[str]) -> None:
    with empty_folder():
        Path("run.py").write_text("from pmm_jax.config import Config\nconfig = Config()\n")
        found = outcome(lambda: parse_run(["--config", "run.py", *words], TrainOptions, ""))
        if not isinstance(found, str):
            config, options = found
            check_fields(options)
            comes_back(config)


@pytest.mark.parametrize("kind", [*RUNS[1:], FileOptions, SyntheticSettings])
def test_other_command_lines(kind: type) -> None:
    @given(command_lines(kind))
    def run(words: list[str]) -> None:
        found: Any = outcome(lambda: parse(kind(), words, ""))
        if not isinstance(found, str):
            check_fields(found)

    run()


@given(config_bodies())
def test_a_config_file(body: bytes) -> None:
    with empty_folder() as folder:
        Path("run.py").write_bytes(body)
        found = outcome(lambda: load_config("run.py"))
        if not isinstance(found, str):
            check_fields(found)
            config = outcome(lambda: check(found))
            if not isinstance(config, str):
                comes_back(config)
        assert [path.name for path in folder.iterdir()] == ["run.py"]


@given(config_texts())
def test_a_config_read_back(text: bytes) -> None:
    config = outcome(lambda: parse_config(text))
    if not isinstance(config, str):
        comes_back(config)
