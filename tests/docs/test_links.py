"""No page and no message names a page that isn't there. Sphinx checks the links within docs/."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
MENTION = re.compile(r"\bdocs/[\w./-]+\.(?:md|ipynb)\b")
SOURCES = [
    *(ROOT / "pmm_jax").rglob("*.py"),
    *(ROOT / "configs").glob("*.py"),
    *(ROOT / "benchmarks").rglob("*.py"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")),
    *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]


def anchors(page: Path) -> set[str]:
    """GitHub's names of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_first_pages_lead_somewhere(name: str) -> None:
    for link in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = ROOT / (path or name)
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_pages_that_are_named_in_the_text_are_there() -> None:
    for source in SOURCES:
        for name in MENTION.findall(source.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{source.relative_to(ROOT)}: {name}"


def test_every_picture_is_shown() -> None:
    """Pictures in docs/images that no page shows are left over."""
    texts = "".join(source.read_text(encoding="utf-8") for source in SOURCES)
    for image in (ROOT / "docs/images").iterdir():
        assert image.name in texts, image
