"""One image of a set of your own, as the forms find it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One image before identities and cameras are numbered."""

    path: str
    identity: str
    camera: str | None = None
    split: str = ""
