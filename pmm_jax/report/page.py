"""report.html and report.json of a run."""

import json
import math
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from pmm_jax.errors import UserError
from pmm_jax.files import write_atomic
from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Content, Section
from pmm_jax.report.sections import SECTIONS

REPORT = "report.html"
"""File name of the page in the run's folder; report.json lies beside it."""
TEMPLATE = Path(__file__).with_name("template")
SECTION_FILES = Path(__file__).with_name("sections")
"""Each section's template, and its style and script, where it has any, lie beside its module."""


def write_report(run: RunData, path: Path) -> None:
    """Write the page of a run, and its numbers beside it as JSON.

    Args:
        run: what it shows.
        path: of the page; the numbers' file has the ending .json in place of .html.

    Raises:
        UserError: a file can't be written.
    """
    built: list[tuple[Section, Content | UserError]] = []
    with run.display.bar("report", len(SECTIONS)) as bar:
        for section in SECTIONS:
            try:
                content = section.build(run)
                built.append((section, content._replace(values=_finite(content.values))))
            except UserError as error:
                built.append((section, error))
            bar.advance()
    values = {
        section.name: {"missing": str(content)}
        if isinstance(content, UserError)
        else content.values
        for section, content in built
    }
    values["missing_pictures"] = run.missing
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(run=run, built=built, css=_joined("css"), js=_joined("js"))
    )
    try:
        write_atomic(path, page.encode())
        write_atomic(
            path.with_suffix(".json"),
            (json.dumps(values, indent=1, allow_nan=False) + "\n").encode(),
        )
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from error


def _joined(kind: str) -> Markup:
    """The page's own style or script, and each section's."""
    sections = (SECTION_FILES / f"{section.name}.{kind}" for section in SECTIONS)
    files = [TEMPLATE / f"page.{kind}", *(file for file in sections if file.exists())]
    return Markup("\n".join(file.read_text(encoding="utf-8") for file in files))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATE, SECTION_FILES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, points=points, count=count, number=number)
    environment.tests["missing"] = lambda content: isinstance(content, UserError)
    return environment


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one digit, as the command line prints it."""
    return "–" if fraction is None else f"{100 * fraction:.1f} %"  # noqa: RUF001


def points(fraction: float) -> str:
    """A difference of two fractions in percentage points, with its sign."""
    return f"{100 * fraction:+.1f}"


def count(value: int) -> str:
    """A whole number with its thousands parted."""
    return f"{value:,}"


def number(value: float | None) -> str:
    """A number with four significant digits."""
    return "–" if value is None else f"{value:.4g}"  # noqa: RUF001


def _finite(value: Any) -> Any:
    """JSON's types alone: NaN and infinity as None, NumPy's numbers as Python's."""
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, np.generic | np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
