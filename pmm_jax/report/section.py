"""What a section of a page is."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from pmm_jax.display import Display


class Subject(Protocol):
    """What a page is about: a run, or several."""

    @property
    def name(self) -> str:
        """Heading of the page."""

    @property
    def subtitle(self) -> str:
        """Line below the heading."""

    @property
    def display(self) -> Display:
        """Shows progress."""

    @property
    def missing(self) -> dict[str, str]:
        """Why a picture isn't shown, by the image's path."""


S = TypeVar("S", bound=Subject)


class Content(NamedTuple):
    """What a section shows."""

    values: dict[str, Any]
    """JSON: every number of the section. It goes into report.json as it is."""
    media: dict[str, Any]
    """Charts (SVG as Markup) and pictures (data URIs)."""


class Section(NamedTuple, Generic[S]):
    """One part of a page."""

    name: str
    """Key in report.json, anchor on the page, and stem of its template."""
    title: str
    build: Callable[[S], Content]
    """Raises a UserError that says why the section can't be shown."""
