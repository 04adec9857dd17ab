"""One small wrong change to the package, and which tests should notice it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A change of one place in one file."""

    file: str
    """Relative to the checkout."""
    old: str
    """As it stands there, once."""
    new: str
    """What takes its place."""
    effect: str
    """What a user would get."""
    tests: tuple[str, ...]
    """Test files, or tests in them, to run first."""

    @property
    def name(self) -> str:
        """The file's stem and a hash: it stays the same when other mutants come and go."""
        digest = hashlib.sha256("\0".join((self.file, self.old, self.new)).encode())
        return f"{Path(self.file).stem}-{digest.hexdigest()[:6]}"

    def changed(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            ValueError: the old text isn't there exactly once, or the new one is the same.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: found {text.count(self.old)} times: {self.old}")
        if self.old == self.new:
            raise ValueError(f"{self.file}: no change: {self.old}")
        return text.replace(self.old, self.new)


Line = tuple[str, str, str] | tuple[str, str, str, str]
"""Old text, new text, effect; and a test to run before the file's others."""


def of(file: str, *tests: str) -> Callable[..., list[Mutant]]:
    """A function that makes the mutants of a file below pmm_jax/ from their lines.

    Args:
        file: below pmm_jax/.
        tests: below tests/, run first.
    """

    def make(*lines: Line) -> list[Mutant]:
        return [
            Mutant(
                f"pmm_jax/{file}",
                *line[:3],
                tests=tuple(f"tests/{test}" for test in (line[3:] or tests)),
            )
            for line in lines
        ]

    return make
