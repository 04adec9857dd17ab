"""What a training is told of the command line that started it."""

from typing import Any

import pytest

from pmm_jax.cli.train import train_command
from pmm_jax.config import Config
from tests.cli.entry import written


def test_the_command_and_the_named_config(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr("pmm_jax.training.loop.train", lambda *words: found.append(words))
    monkeypatch.setattr("pmm_jax.runtime.set_up_training", lambda: None)
    path = written(tiny)
    train_command(["--config", path, "--workdir", "my run", "--train.seed", "7"])
    ((config, *_, command),) = found
    assert command.line == "pmm train --config run.py --workdir 'my run' --train.seed 7"
    assert command.config == "run.py"
    assert command.named == tiny
    assert config.train.seed == 7
