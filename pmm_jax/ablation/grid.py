"""Parse --methods: the methods that an ablation compares, with settings of their own."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pmm_jax.cli.parsing import parse
from pmm_jax.config import Config
from pmm_jax.config_check import check
from pmm_jax.errors import UserError
from pmm_jax.methods import METHODS


@dataclass(frozen=True)
class GridPoint:
    """One row of the table."""

    words: str
    """Words of the command line, such as `pmm --method.top-k 2`."""
    config: Config
    """Config of the row, with the config file's seed."""

    @property
    def title(self) -> str:
        """The method's title and its settings."""
        name, *settings = shlex.split(self.words)
        return " ".join([METHODS[name].title, *settings])

    def folder(self, seed: int) -> str:
        """Folder of its run with that seed, relative to the comparison's."""
        return f"{re.sub(r'[^A-Za-z0-9_.]+', '-', self.words).strip('-')}-seed{seed}"

    def seeded(self, seed: int) -> Config:
        """The run's config."""
        return replace(self.config, train=replace(self.config.train, seed=seed))


def read_grid(config: Config, methods: Sequence[str]) -> list[GridPoint]:
    """The variants that --methods names.

    Args:
        config: what all of them share.
        methods: a method's name each, with any fields that differ behind it.

    Raises:
        UserError: no such method or field, settings that can't work, or the same twice.
    """
    variants = [_read(config, words) for words in methods]
    seen: dict[str, str] = {}
    for variant in variants:
        other = seen.setdefault(variant.folder(0), variant.words)
        if other != variant.words or methods.count(variant.words) > 1:
            raise UserError(f"--methods names {variant.words!r} twice")
    if not variants:
        raise UserError(f"--methods names none; there are {', '.join(METHODS)}")
    return variants


def _read(config: Config, words: str) -> GridPoint:
    try:
        name, *settings = shlex.split(words) or [""]
    except ValueError as error:
        raise UserError(f"--methods {words!r}: {error}") from error
    if name not in METHODS:
        raise UserError(f"--methods {words!r}: no method {name}; there are {', '.join(METHODS)}")
    method = replace(config.method, name=cast(Any, name))
    if {"-h", "--help"} & set(settings):
        raise UserError(f"--methods {words!r}: behind a name come fields, as in --method.top-k 2")
    changed = parse(replace(config, method=method), settings, "")
    for field in ("--method.name", "--train.seed"):
        if any(word.split("=")[0] == field for word in settings):
            raise UserError(f"--methods {words!r} sets {field[2:]}; --methods and --seeds do that")
    try:
        return GridPoint(words, check(changed))
    except UserError as error:
        raise UserError(f"--methods {words!r}: {error}") from error
