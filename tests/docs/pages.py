"""What the pages tell a reader to type: the lines of their sh and python blocks, in order."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
START = ROOT / "docs/getting-started.md"
GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))
FAQ = ROOT / "docs/faq.md"
PAGES = [README, START, *GUIDES, FAQ]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """Of its first line in the page, from 1."""


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[2], found[3], text[: found.start()].count("\n") + 2)
        for found in FENCE.finditer(text)
    ]


def commands(block: Block) -> list[list[str]]:
    """The words of each command of an sh block: continued lines joined, comments left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def pmm_words(words: list[str]) -> list[str] | None:
    """VERB and what follows it, of `pmm`, `python -m pmm_jax`, `python train.py` and `eval.py`."""
    match words:
        case ["pmm", *rest] | ["python", "-m", "pmm_jax", *rest]:
            return rest
        case ["python", "train.py" | "eval.py" as name, *rest]:
            return [name.removesuffix(".py"), *rest]
    return None
