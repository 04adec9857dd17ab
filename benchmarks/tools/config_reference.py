"""Writes docs/reference/config.md: python -m benchmarks.tools.config_reference.

Names, defaults, ranges and scopes come from the fields, words from their docstrings; a test holds
the page to them.
"""

import ast
import inspect
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pmm_jax import config as config_module
from pmm_jax.config import Config
from pmm_jax.fields import walk

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "config.md"
INTRODUCTION = """# Config fields

Made by `python -m benchmarks.tools.config_reference`. On the command line `data.image_size` is
`--data.image-size`; defaults are `Config()`'s, which the files in `configs/` change.

*scope* says what a field decides. `run`: what a run computes, so it can't change when the run goes
on. `test`: how a trained model is evaluated. `execution`: how a run is carried out and watched.
`host`: where one machine finds its images, and how it reads them; it may differ between the
processes of a run.
"""


def page() -> str:
    """The page as Markdown."""
    docs, lines = field_docs(), [INTRODUCTION]
    groups = get_type_hints(Config)
    for group, kind in groups.items():
        lines += [f"\n## {group}\n", f"{inspect.getdoc(kind)}\n"]
        lines += ["| field | default | values | scope | |", "|---|---|---|---|---|"]
        for name, field, hint in walk(kind):
            scope = field.metadata.get("scope", "run")
            cells = [f"`{name}`", f"`{field.default!r}`", values(field.metadata, hint), scope]
            lines.append(f"| {' | '.join([*cells, docs[name, owner(kind, name)]])} |")
    return "\n".join(lines) + "\n"


def values(metadata: Any, hint: Any) -> str:
    """What a field takes."""
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if "range" in metadata:
        return " to ".join(
            f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in metadata["range"]
        )
    if "choices" in metadata:
        return ", ".join(f"`{name}`" for name in metadata["choices"])
    return {bool: "`True`, `False`"}.get(hint, "a path" if metadata.get("path") else "text")


def owner(kind: type, name: str) -> str:
    """The class that declares a field."""
    return next(base.__name__ for base in kind.__mro__ if name in vars(base)["__annotations__"])


def field_docs() -> dict[tuple[str, str], str]:
    """The docstring below each field of config.py, on one line, by field and class."""
    found = {}
    for node in ast.parse(inspect.getsource(config_module)).body:
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    assert isinstance(field.target, ast.Name)
                    assert isinstance(text.value, ast.Constant)
                    found[field.target.id, node.name] = " ".join(str(text.value.value).split())
    return found


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
