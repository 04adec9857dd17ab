"""Writes docs/reference/command-line.md: python -m benchmarks.tools.command_reference.

Each verb's own --help, without the config fields that most of them take; a test holds the page to
them.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from unittest import mock

from pmm_jax.cli.config_file import config_groups
from pmm_jax.cli.export import FORMATS
from pmm_jax.cli.main import VERBS, run_verb

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
INTRODUCTION = """# Command line

Made by `python -m benchmarks.tools.command_reference` from each verb's `--help`. `pmm VERB` is also
`python -m pmm_jax VERB`, and `train.py` and `eval.py` in a checkout are `pmm train` and `pmm eval`.

Wherever a command takes `--config`, every [config field](config.md) is an option, too
(`--optim.peak-lr 3e-4`). A command that fails prints one line on standard error and exits with 2.
"""
MORE = "(and every config field)"
FORMS = {
    "eval": [("--embeddings", "FILE.npz")],
    "export": [("MODEL", f"FILE{ending}") for ending in FORMATS],
}
"""Words behind a verb that give it options of its own."""


def page() -> str:
    """The page as Markdown."""
    sections = []
    for verb in VERBS:
        sections.append(f"\n## pmm {verb}\n\n```text\n{help_of(verb)}\n```\n")
        for words in FORMS.get(verb, ()):
            text = help_of(verb, *words)
            sections.append(f"\n### pmm {verb} {' '.join(words)}\n\n```text\n{text}\n```\n")
    return INTRODUCTION + "".join(sections)


def help_of(*words: str) -> str:
    """What a command prints with --help, 100 columns wide, without the config fields."""
    said = io.StringIO()
    wide = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    with (
        mock.patch.dict(os.environ, wide),
        contextlib.redirect_stdout(said),
        contextlib.suppress(SystemExit),
    ):
        run_verb([*words, "--help"])
    groups = config_groups()
    text = "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())
    # All fields of the config come behind the verb's own options.
    if not all(f"\n {group} options\n" in text for group in groups):
        return text
    first = re.search(rf"^ (?:{'|'.join(groups)}) options$", text, flags=re.MULTILINE)
    assert first is not None
    return f"{text[: first.start()].rstrip()}\n\n{MORE}"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
