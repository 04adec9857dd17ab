"""The list of mutants fits the checkout, and what tries them sees what they do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mutants.changes import MUTANTS
from tests.mutants.checkout import ROOT, SERVER


def test_every_mutant_applies_and_compiles() -> None:
    for mutant in MUTANTS:
        text = mutant.changed((ROOT / mutant.file).read_text(encoding="utf-8"))
        compile(text, mutant.file, "exec")


def test_no_mutant_is_listed_twice() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 150


def test_every_test_that_should_catch_one_is_there() -> None:
    for test in {test for mutant in MUTANTS for test in mutant.tests}:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), test


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs the one test of a tiny project, whose module has that content."""
    folder = tmp_path_factory.mktemp("project")
    tree = folder / "tree"
    tree.mkdir()
    (tree / "test_it.py").write_text("from it import X\n\n\ndef test_x():\n    assert X() == 1\n")
    with subprocess.Popen(
        [sys.executable, "-P", str(SERVER)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(module: str, limit: float = 60) -> dict[str, Any]:
            file = tree / "it.py"
            file.write_text(module)
            os.utime(file, (1e9, 1e9))  # only its content changes
            request = {
                "tree": str(tree),
                "arguments": ["-x", "-p", "no:cacheprovider", f"--rootdir={tree}"],
                "log": str(folder / "log"),
                "limit": limit,
            }
            process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return json.loads(process.stdout.readline())  # type: ignore[union-attr]

        yield run
        process.stdin.close()


@pytest.mark.slow
def test_a_change_is_seen_and_named_whatever_it_does(server: Callable[..., dict]) -> None:
    sound, wrong = "def X(): return 1\n", "def X(): return 2\n"
    for content, code, failed in [
        (sound, 0, ""),
        (wrong, 1, "test_it.py::test_x"),
        (sound, 0, ""),
        ("def X(): retrun 1\n", 2, "test_it.py"),
        ("import os\ndef X(): os._exit(9)\n", 9, ""),
        (sound, 0, ""),
    ]:
        found = server(content)
        assert (found["code"], found["failed"]) == (code, failed), content
    hangs = server("import time\ndef X(): time.sleep(1000)\n", limit=3)
    assert hangs["code"] is None
    assert hangs["seconds"] < 30
