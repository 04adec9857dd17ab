"""The programs as child processes."""

import sys
from dataclasses import asdict
from pathlib import Path

from pmm_jax.config import Config


def command(program: str, config: Config, folder: Path) -> list[str]:
    """A program's command line, with the config written to a file."""
    groups = ", ".join(
        f"{group}={group.capitalize()}Config(**{fields!r})"
        for group, fields in asdict(config).items()
    )
    file = folder / "run.py"
    file.write_text(f"from pmm_jax.config import *\nconfig = Config({groups})\n")
    return [sys.executable, program, "--config", str(file)]
