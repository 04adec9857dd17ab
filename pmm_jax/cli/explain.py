"""pmm explain MODEL IMAGE... and pmm explain MODEL --pair A B."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pmm_jax.cli.parsing import take_option, wants_help
from pmm_jax.errors import UserError
from pmm_jax.files import user_path

USAGE = "pmm explain MODEL (IMAGE... | --pair A B) [--out FILE.html|FOLDER]"
OUT = "explain.html"

HELP = f"""usage: {USAGE}

MODEL is a run's folder, a file that pmm export wrote, hf://OWNER/NAME, or a PyTorch or safetensors
file of a model of 384x128 images. For each image, where every stage finds the training identity
that the stages name; with --pair, what in A and in B made the two match. A page ({OUT} by
default, its numbers beside it as JSON), or a folder of PNG files, one an image and stage.
"""


class Words(NamedTuple):
    """What a command line asks for."""

    model: str
    images: list[str]
    is_pair: bool
    out: Path


def explain_command(arguments: Sequence[str]) -> None:
    """Parse, explain, write."""
    if wants_help(arguments):
        print(HELP, end="")
        return
    words = parse_words(arguments)
    from pmm_jax.runtime import set_up_training

    set_up_training()
    from pmm_jax.api import load_any
    from pmm_jax.display import Display
    from pmm_jax.pixels import read_rgb
    from pmm_jax.report.explanation.explanation import explain_identities, explain_match

    for image in words.images:
        if user_path(image).is_dir():
            raise UserError(f"{image} is a folder, not an image: {USAGE}")
    # First: a misspelt path needs no model.
    images = [read_rgb(image) for image in words.images]
    display, model = Display(), load_any(words.model)
    name = user_path(words.model).resolve().name
    if words.is_pair:
        found = explain_match(model, name, words.images, images, display)
    elif model.kind == "trunk":
        raise UserError(f"{words.model} is a bare ResNet-50, which knows no identities; use --pair")
    else:
        found = explain_identities(model, name, words.images, images, display)
    found.write(words.out)
    for line in found.lines:
        display.info(line)
    display.info(f"explanation: {words.out}")


def parse_words(arguments: Sequence[str]) -> Words:
    """What the command line asks for.

    Raises:
        UserError: it asks for nothing that can be done.
    """
    out, words = take_option(arguments, "--out")
    is_pair = "--pair" in words
    pair: list[str] = []
    if is_pair:
        at = words.index("--pair")
        pair, words = words[at + 1 : at + 3], words[:at] + words[at + 3 :]
    unknown = [word for word in [*words, *pair] if word.startswith("-")]
    if unknown:
        raise UserError(f"explain has no option {unknown[0]}: {USAGE}")
    if is_pair and (len(pair) != 2 or len(words) != 1):
        raise UserError(f"explain --pair needs a model and two images: {USAGE}")
    if len(words) + len(pair) < 2:
        raise UserError(f"explain needs a model and images: {USAGE}")
    images = pair or words[1:]
    return Words(words[0], images, is_pair, _target(OUT if out is None else out))


def _target(out: str) -> Path:
    path = user_path(out)
    if path.suffix == ".html":
        if not path.parent.is_dir():
            raise UserError(f"--out {out}: there is no folder {path.parent}")
    elif path.exists() and not path.is_dir():
        raise UserError(f"--out {out} is a file; name a page that ends in .html, or a folder")
    elif path.suffix and not path.exists() and not out.endswith("/"):
        raise UserError(f"--out {out} must end in .html, or in / for a folder")
    return path
