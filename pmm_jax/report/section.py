"""What a section of the report is."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pmm_jax.report.run_data import RunData


class Content(NamedTuple):
    """What a section shows."""

    values: dict[str, Any]
    """JSON: every number of the section. It goes into report.json as it is."""
    media: dict[str, Any]
    """Charts (SVG as Markup) and pictures (data URIs)."""


class Section(NamedTuple):
    """One part of the page."""

    name: str
    """Key in report.json, anchor on the page, and stem of its template."""
    title: str
    build: Callable[[RunData], Content]
    """Raises a UserError that says why the section can't be shown."""
