"""What the tests of training share: a run from start to end, and the lines that it wrote."""

import json
from pathlib import Path

import pytest

from pmm_jax.config import Config
from pmm_jax.training import loop

STEPS = 6
"""Steps of a run by the tests' config."""


def lines(workdir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def whole(tiny: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from start to end."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    loop.train(tiny, workdir)
    return workdir
