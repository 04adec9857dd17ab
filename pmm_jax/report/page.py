"""A page of sections, and its numbers as JSON."""

import base64
import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from pmm_jax.errors import UserError
from pmm_jax.files import write_atomic
from pmm_jax.report.section import S, Section

TEMPLATE = Path(__file__).with_name("template")
SECTION_FOLDERS = tuple(
    Path(__file__).with_name(name) for name in ("sections", "several", "explanation", "linked")
)
"""Each section's template, and its style and script, where it has any, lie beside its module."""
LONGEST_ERROR = 300


def write_page(subject: S, sections: Sequence[Section[S]], path: Path) -> None:
    """Write a page, and its numbers beside it as JSON.

    Args:
        subject: a run, or several.
        sections: what the page shows of it.
        path: of the page; the numbers' file has the ending .json in place of .html.

    Raises:
        UserError: a file can't be written.
        Exception: a section failed; the page of the others is written before.
    """
    _check_place(path)
    environment = _environment()
    built: list[tuple[Section[S], Markup | UserError]] = []
    values: dict[str, Any] = {}
    failures: list[Exception] = []
    with subject.display.bar("report", len(sections)) as bar:
        for section in sections:
            try:
                shown: Markup | UserError
                shown, values[section.name] = _shown(section, subject, environment)
            except Exception as error:
                shown = error if isinstance(error, UserError) else _failed(error)
                if shown is not error:
                    failures.append(error)
                values[section.name] = {"missing": str(shown)}
            built.append((section, shown))
            bar.advance()
    values |= {"subtitle": subject.subtitle, "missing_pictures": subject.missing}
    names = [section.name for section in sections]
    css, js = (_joined(kind, names) for kind in ("css", "js"))
    template = environment.get_template("page.html.j2")
    # Lets the page's own script run, and no other, whatever a name may bring.
    digest = base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()
    page = template.render(subject=subject, built=built, css=css, js=js, js_digest=digest)
    try:
        # Names of files need not be UTF-8.
        write_atomic(path, page.encode(errors="backslashreplace"))
        write_atomic(path.with_suffix(".json"), _json(values).encode())
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from error
    if failures:
        raise failures[0]


def _failed(error: Exception) -> UserError:
    """What stands in the place of a section that failed."""
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return UserError(f"it failed ({line[:LONGEST_ERROR]})")


def _check_place(path: Path) -> None:
    """Refuse before the work, and not after it, what can't be written."""
    if not path.parent.is_dir():
        raise UserError(f"{path} can't be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path} can't be written: {path.parent} is read-only")


def _shown(
    section: Section[S], subject: S, environment: jinja2.Environment
) -> tuple[Markup, dict[str, Any]]:
    """A section as HTML, and its values."""
    values, media = section.build(subject)
    values = _finite(values)
    _json(values)  # what is no JSON has to fail here
    template = environment.get_template(f"{section.name}.html.j2")
    return Markup(template.render(subject=subject, values=values, media=media)), values


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def page_style() -> Markup:
    """The style that all pages share, and the colors of charts.py."""
    return _joined("css", [])


def _joined(kind: str, sections: Sequence[str]) -> Markup:
    """The page's own style or script, and each section's."""
    files = [folder / f"{name}.{kind}" for name in sections for folder in SECTION_FOLDERS]
    own = TEMPLATE / f"page.{kind}"
    texts = (file.read_text(encoding="utf-8") for file in (own, *files) if file.exists())
    return Markup("\n".join(texts))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATE, *SECTION_FOLDERS]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (percent, points, count, number, gibibytes, duration)
    environment.filters.update({show.__name__: show for show in shown})
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
    """A number with four significant digits, whole and large ones in full."""
    if value is None:
        return "–"  # noqa: RUF001
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.4g}"


def gibibytes(value: int) -> str:
    """Bytes, in GiB with one digit."""
    return f"{value / 2**30:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


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
