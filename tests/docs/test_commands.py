"""What the pages tell a reader to type is typed, in a sandbox where all of it is tiny."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import pytest

from benchmarks.tools.command_reference import MORE
from benchmarks.tools.command_reference import PAGE as COMMAND_LINE
from pmm_jax.cli.main import VERBS
from pmm_jax.config import Config
from pmm_jax.fields import walk
from tests.docs.pages import PAGES, blocks, commands, pmm_words
from tests.docs.sandbox import PEOPLE, fill

TOY = shlex.split("""
--model.stage-sizes 1 1 1 1 --model.width 0.125 --model.embedding-size 16
--model.weights scratch --data.image-size 64 32 --data.crop-padding 0 --data.erase-size 16
--data.identities-per-batch 2 --data.images-per-identity 2 --method.block 1 1 --method.top-k 1
--optim.warmup-epochs 0 --train.epochs 1 --train.evaluate-every 0
""")
"""Added to what trains, which makes it small: everything else is typed as it stands."""
DRAWN = [
    (f"--people.{name.replace('_', '-')}", str(value)) for name, value in asdict(PEOPLE).items()
]
ADDED = {
    "train": [*TOY, "--no-report"],
    "ablate": TOY,
    "compare": TOY,
    "demo": [*TOY, *chain(*DRAWN)],
    "synthesize": [word.replace("people.", "") for word in chain(*DRAWN)],
}

UNTYPED = {
    "python3": "the tests have an environment",
    "pip": "the tests have the package; tests/packaging installs it",
    "tensorboard": "another program's page",
}
"""First words of commands of sh blocks that are not typed, and why."""
_OTHER = "another program"
_TESTED = "takes minutes at full size; a test of its own runs it"
_HOSTS = "several hosts: tests/training/test_two_processes.py starts two processes"
BASH = {
    "srun": _OTHER,
    "curl": f"{_OTHER}; tests/serve asks the server as it does",
    "openssl": _OTHER,
    "hf": "the network",
    "trtexec": f"{_OTHER}, which was not at hand",
    "pmm train --config market1501 --workdir runs/market1501 --coordinator": _HOSTS,
    "JAX_NUM_CPU_DEVICES=8": "jax counts devices once; tests/training/test_devices.py has eight",
    "pmm train --config market1501 --workdir runs/ibn": "weights from the network",
    "pmm parity": _TESTED,
    "pmm serve people --host 0.0.0.0": "lets other machines in; tests/serve does so with a token",
    "python -m benchmarks.": "a measurement",
}
"""How commands of bash blocks begin, and why they are not typed."""


def steps(page: Path) -> list[list[str] | str]:
    """What run_page takes: commands with what is added, and Python blocks."""
    found: list[list[str] | str] = []
    for block in blocks(page):
        if block.language == "python":
            found.append(block.text)
        for words in commands(block) if block.language == "sh" else []:
            ours = pmm_words(words)
            if ours:
                found.append([*ours, *ADDED.get(ours[0], [])])
    return found


FIELDS = {name.replace("_", "-") for name, *_ in walk(Config)}


def is_option(verb: str, option: str) -> bool:
    """By docs/reference/, which tests/test_reference_pages.py holds to the code."""
    sections = COMMAND_LINE.read_text(encoding="utf-8").split("\n## pmm ")
    [section] = [text for text in sections if text.startswith(f"{verb}\n")]
    if re.search(rf"{re.escape(option)}\b", section):
        return True
    return MORE in section and option.removeprefix("--").replace("no-", "", 1) in FIELDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_exists_and_has_these_options(page: Path) -> None:
    for block in blocks(page):
        for words in commands(block) if block.language == "sh" else []:
            ours, where = pmm_words(words), f"{page.name}:{block.line}: {' '.join(words)}"
            assert ours or words[0] in UNTYPED, where
            if ours:
                assert ours[0] in VERBS, where
                unknown = [
                    word for word in ours if word[:2] == "--" and not is_option(ours[0], word)
                ]
                assert not unknown, where


def test_what_stands_in_a_bash_block_says_why_it_is_not_typed() -> None:
    left = [
        " ".join(words)
        for page in PAGES
        for block in blocks(page)
        if block.language == "bash"
        for words in commands(block)
    ]
    assert not [line for line in left if not line.startswith(tuple(BASH))]
    assert all(any(line.startswith(start) for line in left) for start in BASH)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sandbox")
    fill(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_can_be_typed(page: Path, sandbox: Path, project: Path) -> None:
    """README first: the others name its runs and files."""
    plan = sandbox / "steps.json"
    plan.write_text(json.dumps(steps(page)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_page", plan],
        cwd=sandbox,
        env={**os.environ, "PYTHONPATH": str(project)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
