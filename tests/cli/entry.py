"""Entry points and config files for the tests of the command line."""

import runpy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pmm_jax.config import Config

Program = Callable[..., str]

IMPORTS = """\
from pmm_jax.config import (
    Config, DataConfig, EvaluateConfig, MethodConfig, ModelConfig, OptimConfig, TrainConfig
)
"""


def start(project: Path, name: str) -> None:
    """An entry point, in this process."""
    if name == "pmm_jax":
        runpy.run_module(name, run_name="__main__")
    else:
        runpy.run_path(str(project / name), run_name="__main__")


def config_file(body: str = "Config()", name: str = "run.py") -> str:
    Path(name).write_text(f"{IMPORTS}\nconfig = {body}\n")
    return name


def written(config: Config) -> str:
    """A config file that says the same as `config`."""
    groups = ", ".join(
        f"{group}={group.capitalize()}Config(**{fields!r})"
        for group, fields in asdict(config).items()
    )
    return config_file(f"Config({groups})")
