"""pmm synthesize DIR [--cameras 6 ...]."""

import os
from collections.abc import Sequence
from pathlib import Path

from pmm_jax.cli.parsing import parse, wants_help
from pmm_jax.data.synthetic import SyntheticSettings, synthesize
from pmm_jax.display import Display
from pmm_jax.errors import UserError
from pmm_jax.files import user_path


def synthesize_command(arguments: Sequence[str]) -> None:
    """Parse, draw."""
    if not wants_help(arguments) and (not arguments or arguments[0][:1] in ("", "-")):
        raise UserError("synthesize needs a folder: pmm synthesize DIR")
    root, rest = arguments[0], arguments[1:]
    settings = parse(
        SyntheticSettings(),
        [root] if root in ("-h", "--help") else rest,
        "Draw a re-ID set of synthetic people in Market-1501's layout: synthesize DIR.",
        "pmm synthesize DIR",
    )
    draw(user_path(root), root, settings, Display())


def draw(root: Path, name: str, settings: SyntheticSettings, display: Display) -> None:
    """Draw a set, with a progress bar.

    Args:
        root: the folder.
        name: the folder as its user wrote it.
        settings: which set.
        display: shows progress.
    """
    with display.bar("drawing", 0) as bar:
        count = synthesize(root, settings, bar.update, os.cpu_count() or 1)
    display.info(f"{name}: {count:,} images")
