"""Copies of the checkout that mutants are made in, each with a process that runs its tests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).with_name("fork_server.py")


def git(*arguments: str) -> str:
    """What git says in the checkout."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def copy_checkout(tree: Path) -> None:
    """The checkout's files, uncommitted ones too, and nothing that git ignores."""
    for name in git("ls-files", "-z", "-co", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


class Tree:
    """A copy of the checkout, and a process that runs its tests; to be closed."""

    def __init__(self, folder: Path, compiled: Path) -> None:
        """Make the copy, and start the process.

        Args:
            folder: made for it.
            compiled: cache of compiled programs, which all copies share: a change of a program
                gives it another key.
        """
        self.path = folder / "tree"
        copy_checkout(self.path)
        self._log, self._temporary = folder / "log", folder / "temporary"
        environment = {
            **os.environ,
            "JAX_NUMPY_RANK_PROMOTION": "raise",  # as tests/conftest.py has it, ahead of jax
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            # No cached bytecode can hide a change.
            "PYTHONDONTWRITEBYTECODE": "1",
            # A library with threads of its own may not be forked.
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SERVER)],
            cwd=self.path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process, and the tests that it runs."""
        self._process.terminate()
        self._process.wait()

    def pytest(self, arguments: list[str], limit: float) -> dict[str, Any]:
        """pytest's `code` (None past the limit), the first test that `failed`, `seconds`."""
        shutil.rmtree(self._temporary, ignore_errors=True)
        common = ["-q", "-x", "-p", "no:cacheprovider", f"--basetemp={self._temporary}"]
        request = {
            "tree": str(self.path),
            "arguments": [f"--rootdir={self.path}", *common, *arguments],
            "log": str(self._log),
            "limit": limit,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that runs the tests ended; see {self._log}")
        return json.loads(line)

    @contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the change, for a while."""
        file = self.path / mutant.file
        text = file.read_text(encoding="utf-8")
        file.write_text(mutant.changed(text), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(text, encoding="utf-8")
