"""pmm search GALLERY IMAGE..."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pmm_jax.cli.parsing import output_file, take_option, wants_help
from pmm_jax.errors import UserError
from pmm_jax.files import printable

if TYPE_CHECKING:
    from pathlib import Path

    from pmm_jax.display import Display

USAGE = (
    "pmm search GALLERY IMAGE... [--top 10] [--where CONDITION] [--json] [--out FILE.html] "
    "[--model MODEL]"
)
MOST = 1000
"""Results of a query."""
BATCH = 64
"""Query images embedded at once."""

HELP = f"""usage: {USAGE}

The images of a gallery that are most alike to each IMAGE, nearest first. CONDITION is such as
'camera != 3 and id in ["a", "b"]': only images that meet it are ranked. --json prints an object a
query and line; --out writes a page with pictures and what made each pair match. --model says where
the gallery's model is, where it has moved.
"""


class Words(NamedTuple):
    """What a command line asks for."""

    gallery: str
    images: list[str]
    top: int
    where: str | None
    is_json: bool
    out: Path | None
    model: str | None


def search_command(arguments: Sequence[str]) -> None:
    """Parse, embed, search, print."""
    if wants_help(arguments):
        print(HELP, end="")
        return
    words = parse_words(arguments)
    from pmm_jax.display import Display
    from pmm_jax.pixels import read_rgb
    from pmm_jax.search.gallery import Gallery
    from pmm_jax.search.model import model_of
    from pmm_jax.search.results import as_json, warnings_of
    from pmm_jax.search.where import parse_where

    # First: a misspelt path needs no model.
    images = [read_rgb(image) for image in words.images]
    if words.where is not None:
        parse_where(words.where)
    gallery, display = Gallery.open(words.gallery), Display(stderr=words.is_json)
    model = model_of(gallery, words.model)
    features = model.embed(images, min(len(images), BATCH))
    found = gallery.search(features, words.top, words.where)
    for line in warnings_of(found, model.calibration):
        display.info(f"warning: {printable(line)}")
    answers = [
        as_json(image, results, model.calibration)
        for image, results in zip(words.images, found, strict=True)
    ]
    for answer in answers:
        if words.is_json:
            print(json.dumps(answer))
        else:
            _show(answer, display)
    if words.out is not None:
        from pmm_jax.report.explanation.matches import Matches

        about = f"In the gallery {words.gallery}, as {gallery.info().maker.address} embeds images"
        Matches(about, answers, images, model, display).write(words.out)
        display.info(f"page: {words.out}")


def parse_words(arguments: Sequence[str]) -> Words:
    """What the command line asks for.

    Raises:
        UserError: it asks for nothing that can be done.
    """
    words, values = list(arguments), {}
    for name in ("--top", "--where", "--out", "--model"):
        values[name], words = take_option(words, name)
    is_json = "--json" in words
    words = [word for word in words if word != "--json"]
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise UserError(f"search has no option {unknown[0][:100]}: {USAGE}")
    if len(words) < 2:
        raise UserError(f"search needs a gallery and images: {USAGE}")
    top = values["--top"] or "10"
    if not (top.isascii() and top.isdigit() and 1 <= int(top) <= MOST):
        raise UserError(f"--top {top[:100]}: it must be a whole number of 1 to {MOST}")
    out = values["--out"]
    page = None if out is None else output_file("--out", out, ".html")
    return Words(words[0], words[1:], int(top), values["--where"], is_json, page, values["--model"])


def _show(answer: dict[str, Any], display: Display) -> None:
    from rich.table import Table
    from rich.text import Text

    results = answer["results"]
    names = [
        name
        for name in ("rank", "path", "identity", "camera", "distance", "decision")
        if any(result[name] is not None for result in results)
    ]
    table = Table(box=None)
    for name in names:
        right = name in ("rank", "distance")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for result in results:
        shown = {**result, "distance": f"{result['distance']:.4g}"}
        table.add_row(*(Text(printable(str(shown[name]))) for name in names))
    display.info(f"{printable(answer['query'])}:")
    with display.unheard():
        display.console.print(table if results else "  no image of the gallery is left")
