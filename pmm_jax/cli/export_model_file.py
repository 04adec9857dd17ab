"""pmm export RUN MODEL.safetensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pmm_jax.cli.parsing import parse


@dataclass(frozen=True)
class Options:
    """Options of `pmm export RUN MODEL.safetensors`."""


def export_file(source: str, target: Path, arguments: Sequence[str]) -> None:
    """Parse, read the run, write the file."""
    parse(Options(), arguments, "Write a whole model into one file.", "pmm export")
