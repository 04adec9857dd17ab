"""The config that --config names: a file, or one of those that the package ships."""

import contextlib
import dataclasses
import difflib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from pmm_jax.config import Config
from pmm_jax.errors import UserError
from pmm_jax.fields import check_fields
from pmm_jax.files import open_regular

LONGEST_CONFIG = 2**20
"""Bytes of a config file."""


def shipped_configs() -> dict[str, Path]:
    """The configs that come with the package, by name: `demo`, `market1501` and so on.

    In a wheel they lie inside the package; in a checkout, and where one is installed as editable,
    beside it.
    """
    package = Path(__file__).parents[1]
    inside = package / "configs"
    folder = inside if inside.is_dir() else package.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def load_config(path: str) -> Config:
    """The `config` that a Python file defines.

    Args:
        path: of the file; or the bare name of a shipped config, unless a file of that name lies in
            the current folder.

    Raises:
        UserError: it can't be read or run, defines no `config`, or a field of it is misspelt or
            has a wrong value.
    """
    path = os.path.expanduser(path)
    if path in (shipped := shipped_configs()) and not os.path.isfile(path):
        path = str(shipped[path])
    try:
        with open_regular(path) as file:
            source = file.read(LONGEST_CONFIG + 1)
    except FileNotFoundError:
        raise UserError(f"--config {path}: no such file; {_hint(path, list(shipped))}") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--config {path} can't be read: {reason}") from None
    except UserError as error:
        raise UserError(f"--config {error}") from None
    if len(source) > LONGEST_CONFIG:
        raise UserError(f"--config {path} has more than {LONGEST_CONFIG:,} bytes; it is no config")
    config = _defined(path, source)
    if not isinstance(config, Config):
        raise UserError(f"{path}: it must define config = Config(...)")
    try:
        check_fields(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return config


def _hint(path: str, shipped: list[str]) -> str:
    here = sorted(str(p) for p in Path("configs").glob("*.py"))
    known = {name: name for name in shipped} | {Path(p).stem: p for p in here}
    near = difflib.get_close_matches(Path(path).stem, known, 1)
    if near:
        return f"did you mean {known[near[0]]}?"
    return f"there are {', '.join([*here, *shipped])}"


def _defined(path: str, source: bytes) -> object:
    """Execute a config file and return its `config`."""
    names: dict[str, Any] = {"__name__": "<config>", "__file__": path}
    try:
        # What it prints must not come between the lines of `eval.py --json`.
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(source, path, "exec"), names)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise UserError(f"{path}{line}: not Python ({error.msg})") from None
    except TypeError as error:  # a field that no dataclass of config.py has
        name = re.search(
            r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error)
        )
        groups = {group.__name__: group for group in (Config, *config_groups().values())}
        if name is None or name[1] not in groups:
            raise UserError(f"{path}: {error}") from None
        fields = [f.name for f in dataclasses.fields(groups[name[1]])]
        raise UserError(
            f"{path}: {name[1]} has no field {name[2]}{nearest(name[2], fields)}"
        ) from None
    # A config file is a program of the user's, and can fail in any way: by sys.exit(0), too.
    except BaseException as error:
        # Not str(error): that may be the user's own, and fail as well.
        said = "".join(traceback.format_exception_only(error))
        raise UserError(f"{path}: {' '.join(said.split())}") from None
    return names.get("config")


def config_groups() -> dict[str, type]:
    """The groups of a config, `data` to `evaluate`, and their dataclasses."""
    return get_type_hints(Config)


def nearest(name: str, names: Sequence[str]) -> str:
    """Suggestion for a misspelt name, which ends a message."""
    near = difflib.get_close_matches(name, names, 1, cutoff=0.4)
    return f"; did you mean {near[0]}?" if near else "; --help lists them all"
