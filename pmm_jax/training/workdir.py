"""A workdir belongs to one config: config.json says which."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from pmm_jax.config import (
    Config,
    DataConfig,
    EvaluateConfig,
    MethodConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from pmm_jax.errors import UserError
from pmm_jax.training.run_log import read_metrics

# These change how a run is done and watched, not what it computes.
_FREE = {
    "data.prepared",
    "data.memory_gib",
    "data.workers",
    "train.checkpoint_every",
    "train.profile_steps",
    "evaluate.batch_size",
    "evaluate.checkpoint",
    "evaluate.chunk",
}


def claim(workdir: Path, config: Config) -> None:
    """Make the workdir this config's, or check that it is.

    A workdir with neither a logged step nor a checkpoint is anybody's: its run failed on the way.

    Raises:
        UserError: it holds a run of another config; the first differing field is named.
    """
    path = workdir / "config.json"
    ours = _flat(dataclasses.asdict(config))
    begun = read_metrics(workdir) or any((workdir / "checkpoints").glob("*"))
    if path.is_file() and begun:
        try:
            theirs = _flat(json.loads(path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, AttributeError):
            raise UserError(f"{path} is not a run's config; use another --workdir") from None
        for name in sorted(set(ours) | set(theirs)):
            if name not in _FREE and ours.get(name) != theirs.get(name):
                raise UserError(
                    f"{workdir} holds a run with {name} {theirs.get(name)}, not "
                    f"{ours.get(name)}; use another --workdir, or delete that one"
                )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--workdir {workdir} can't be written: {error.strerror}") from error


def read_config(workdir: Path) -> Config:
    """The config of the run in a workdir.

    Raises:
        UserError: there is no run, or one of another version of this project.
    """
    path = workdir / "config.json"
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            data=DataConfig(**_tuples(groups["data"])),
            model=ModelConfig(**_tuples(groups["model"])),
            method=MethodConfig(**_tuples(groups["method"])),
            optim=OptimConfig(**_tuples(groups["optim"])),
            train=TrainConfig(**_tuples(groups["train"])),
            evaluate=EvaluateConfig(**_tuples(groups["evaluate"])),
        )
    except FileNotFoundError:
        raise UserError(f"{workdir} holds no run; train one first, or check the folder") from None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a run's config, or one of another version ({error})"
        ) from error


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }


def _flat(groups: dict[str, Any]) -> dict[str, Any]:
    """Fields by their dotted names, tuples as the lists that JSON makes of them."""
    return {
        f"{group}.{name}": list(value) if isinstance(value, tuple) else value
        for group, fields in groups.items()
        for name, value in fields.items()
    }
