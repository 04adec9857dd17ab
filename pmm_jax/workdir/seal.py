"""Checksums beside what a run has written, so that a change of a single bit is found out."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pmm_jax.errors import UserError
from pmm_jax.files import read_regular

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Seal:
    """Seal of a checkpoint: checksums of its files, and the run's config and log at that step."""

    files: dict[str, str]
    """SHA-256 of each file, by its path in the checkpoint's folder."""
    log: str
    """metrics.jsonl as it stood, without the step's evaluation."""
    config: str = ""
    """config.json of the run."""
    evaluation: dict[str, Any] | None = None
    """Result of the step's evaluation."""

    def encode(self) -> bytes:
        """JSON, with its checksum."""
        return json.dumps(with_checksum(asdict(self)), allow_nan=False).encode()


def with_checksum(values: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with a field `sha256` of the others."""
    return values | {"sha256": _digest(values)}


def checked(encoded: bytes) -> dict[str, Any] | None:
    """A JSON object that `with_checksum` made, without the checksum; None if it isn't as it was."""
    try:
        values = json.loads(encoded)
        digest = values.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return values if digest == _digest(values) else None


def read_seal(workdir: Path, step: int) -> Seal | None:
    """The seal of a checkpoint, None where it is gone or not as it was written."""
    try:
        values = checked(read_regular(seal_path(workdir, step)))
        return None if values is None else Seal(**values)
    except (OSError, UserError, TypeError):
        return None


def seal_path(workdir: Path, step: int) -> Path:
    """Path of a checkpoint's seal."""
    return workdir / CHECKPOINTS / f"{step}.json"


def sealed_steps(workdir: Path) -> list[int]:
    """Steps of all checkpoints, in no order."""
    folder = workdir / CHECKPOINTS
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
