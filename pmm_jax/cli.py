"""From a config file and a command line to a checked Config; from an error to one line."""

import contextlib
import dataclasses
import difflib
import errno
import io
import os
import re
import runpy
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from pmm_jax.compile_cache import keep_compiled_programs
from pmm_jax.config import Config
from pmm_jax.config_check import check, check_types
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.host_memory import keep_freed_memory

T = TypeVar("T")
R = TypeVar("R", bound=Config)


def load_config(path: str) -> Config:
    """The `config` that a Python file under configs/ defines.

    Raises:
        UserError: no such file, no `config` in it, or a misspelt field.
    """
    if not Path(path).is_file():
        known = sorted(str(p) for p in Path("configs").glob("*.py"))
        near = difflib.get_close_matches(path, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
        raise UserError(f"--config {path}: no such file; {hint}")
    try:
        config = runpy.run_path(path).get("config")
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: not Python ({error.msg})") from None
    except TypeError as error:  # a field that no dataclass of config.py has
        name = re.search(
            r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error)
        )
        groups = {group.__name__: group for group in (Config, *_groups().values())}
        if name is None or name[1] not in groups:
            raise UserError(f"{path}: {error}") from None
        fields = [f.name for f in dataclasses.fields(groups[name[1]])]
        raise UserError(
            f"{path}: {name[1]} has no field {name[2]}{_nearest(name[2], fields)}"
        ) from None
    # A config file is a program of the user's, and can fail in any way.
    except Exception as error:
        raise UserError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from None
    if not isinstance(config, Config):
        raise UserError(f"{path}: it must define config = Config(...)")
    return check_types(config)


def parse(default: T, arguments: Sequence[str], description: str) -> T:
    """A copy of a dataclass with the fields that the command line sets (--group.field VALUE).

    Args:
        default: the values without any argument.
        arguments: the command line, without the program's name.
        description: first lines of --help.

    Raises:
        UserError: a misspelt field (with the nearest name) or a value of the wrong type.
        SystemExit: after --help.
    """
    options = list(_option_names(type(default)))
    for argument in arguments:
        name = argument.split("=", 1)[0].replace("_", "-")
        if name.startswith("--") and name not in (*options, "--help"):
            raise UserError(f"no field {argument.split('=', 1)[0]}{_nearest(name, options)}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(type(default), default=default, args=arguments, description=description)
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(_first_sentence(said.getvalue())) from None


def parse_run(arguments: Sequence[str], options: type[R], description: str) -> tuple[Config, R]:
    """The command line of a run: --config FILE, the caller's own options, and any config field.

    Args:
        arguments: the command line, without the program's name.
        options: a dataclass that adds the caller's own options, with defaults, to Config.
        description: first line of --help.

    Returns:
        The checked config, and the whole, options and all.
    """
    path, rest = _take_option(arguments, "--config")
    if path is None and not {"-h", "--help"} & set(rest):
        raise UserError("--config FILE is missing, such as --config configs/demo.py")
    config = load_config(path) if path else Config()
    default = options(**{group: getattr(config, group) for group in _groups()})
    run = parse(default, rest, f"{description} --config FILE names the run's config file.")
    return check(Config(**{group: getattr(run, group) for group in _groups()})), run


def main(program: Callable[[Sequence[str]], None]) -> None:
    """Run an entry point: a UserError becomes one line on standard error and exit code 2."""
    keep_freed_memory()
    keep_compiled_programs()
    try:
        try:
            program(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, as head does: end as quietly as a signal would. What is
        # left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"error: no room left on the disk{where}; free some, and the same command goes on from "
            "the last checkpoint",
            file=sys.stderr,
        )
        sys.exit(2)
    except Interrupted as end:
        print(f"{end}; the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _take_option(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    rest, value = [], None
    words = iter(arguments)
    for word in words:
        if word == name:
            value = next(words, None)
            if value is None:
                raise UserError(f"{name} needs a value")
        elif word.startswith(f"{name}="):
            value = word.split("=", 1)[1]
        else:
            rest.append(word)
    return value, rest


def _groups() -> dict[str, type]:
    return {f.name: f.type for f in dataclasses.fields(Config)}  # type: ignore[misc]


def _option_names(kind: type, prefix: str = "--") -> Iterator[str]:
    for field in dataclasses.fields(kind):
        name = f"{prefix}{field.name}".replace("_", "-")
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            yield from _option_names(field.type, f"{name}.")
        else:
            yield name
            if field.type is bool:
                group, _, last = name.removeprefix("--").rpartition(".")
                yield f"--{group}.no-{last}" if group else f"--no-{last}"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1, cutoff=0.4)
    return f"; did you mean {near[0]}?" if near else "; --help lists them all"


def _first_sentence(box: str) -> str:
    """The message of tyro's error: title, message and hints, with rules or a frame between them."""
    lines = [line.strip(" │|") for line in box.splitlines() if line.strip(" │|")]
    message: list[str] = []
    for line in lines[1:]:
        is_rule = not line.strip("─╰╯-+")
        if is_rule and message:
            break
        if not is_rule:
            message.append(line)
    return " ".join(message) or "the command line could not be read"
