"""From a config file and a command line to a checked Config; from an error to one line."""

import contextlib
import dataclasses
import difflib
import errno
import io
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

import tyro

from pmm_jax.compile_cache import keep_compiled_programs
from pmm_jax.config import Config
from pmm_jax.config_check import check
from pmm_jax.errors import Interrupted, UserError
from pmm_jax.fields import check_fields, expand_paths, walk
from pmm_jax.files import open_regular, printable
from pmm_jax.host_memory import keep_freed_memory

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

T = TypeVar("T")
R = TypeVar("R", bound=Config)

LONGEST_CONFIG = 2**20
"""Bytes of a config file."""


def load_config(path: str) -> Config:
    """The `config` that a Python file under configs/ defines.

    Raises:
        UserError: it can't be read or run, defines no `config`, or a field of it is misspelt or
            has a wrong value.
    """
    path = os.path.expanduser(path)
    try:
        with open_regular(path) as file:
            source = file.read(LONGEST_CONFIG + 1)
    except FileNotFoundError:
        known = sorted(str(p) for p in Path("configs").glob("*.py"))
        near = difflib.get_close_matches(path, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
        raise UserError(f"--config {path}: no such file; {hint}") from None
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


def _defined(path: str, source: bytes) -> object:
    """What a config file calls `config`."""
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
        groups = {group.__name__: group for group in (Config, *_groups().values())}
        if name is None or name[1] not in groups:
            raise UserError(f"{path}: {error}") from None
        fields = [f.name for f in dataclasses.fields(groups[name[1]])]
        raise UserError(
            f"{path}: {name[1]} has no field {name[2]}{_nearest(name[2], fields)}"
        ) from None
    # A config file is a program of the user's, and can fail in any way: by sys.exit(0), too.
    except BaseException as error:
        # Not str(error): that may be the user's own, and fail as well.
        said = "".join(traceback.format_exception_only(error))
        raise UserError(f"{path}: {' '.join(said.split())}") from None
    return names.get("config")


def parse(default: T, arguments: Sequence[str], description: str) -> T:
    """A copy of a dataclass with the fields that the command line sets (--group.field VALUE).

    Args:
        default: the values without any argument.
        arguments: the command line, without the program's name.
        description: first lines of --help.

    Raises:
        UserError: a misspelt field (with the nearest name), or a value of the wrong type or out of
            its range.
        SystemExit: after --help.
    """
    options = list(_option_names(type(default)))
    for argument in arguments:
        name = argument.split("=", 1)[0].replace("_", "-")
        if name.startswith("--") and name not in (*options, "--help"):
            raise UserError(f"no field {argument.split('=', 1)[0][:100]}{_nearest(name, options)}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found = tyro.cli(
                type(default), default=default, args=arguments, description=description
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(_first_sentence(said.getvalue())) from None
    check_fields(found)
    return expand_paths(found)


def parse_run(arguments: Sequence[str], options: type[R], description: str) -> tuple[Config, R]:
    """The command line of a run: --config FILE, the caller's own options, and any config field.

    Args:
        arguments: the command line, without the program's name.
        options: a dataclass that adds the caller's own options, with defaults, to Config.
        description: first line of --help.

    Returns:
        The checked config, and the whole, options and all.
    """
    path, rest = take_option(arguments, "--config")
    if path is None and not {"-h", "--help"} & set(rest):
        raise UserError("--config FILE is missing, such as --config configs/demo.py")
    config = Config() if path is None else load_config(path)
    description = f"{description} --config FILE names the run's config file."
    return parse_options(rest, options, description, config)


def parse_options(
    arguments: Sequence[str], options: type[R], description: str, config: Config
) -> tuple[Config, R]:
    """As `parse_run`, with a config as the default of every field."""
    default = options(**{group: getattr(config, group) for group in _groups()})
    run = parse(default, arguments, description)
    return check(Config(**{group: getattr(run, group) for group in _groups()})), run


def main(program: Callable[[Sequence[str]], None]) -> None:
    """Run an entry point: a UserError becomes one line on standard error and exit code 2.

    Where nobody reads standard output any more, it ends without a word, with the exit code that a
    shell gives to a program that SIGPIPE ended.
    """
    keep_freed_memory()
    keep_compiled_programs()
    interrupt_on_signals()
    sys.unraisablehook = _show_unraisable
    # Of orbax's, where a write fails: it drops the others half made. None is ours.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    # None where the process was started without them; libraries write to them all the same.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    try:
        try:
            program(sys.argv[1:])
        except SystemExit:  # with another code, such as after --help
            _flush_output()
            raise
        _flush_output()
    except UserError as error:
        _end(f"error: {error}", 2)
    except BrokenPipeError:
        _discard(sys.stdout)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in _NO_ROOM:
            _end(
                f"error: no room left on the disk{where}; free some, and the same command goes on "
                "from the last checkpoint",
                2,
            )
        _end(f"error: {error.strerror}{where}", 2)
    except (MemoryError, RuntimeError) as error:
        # jax has no type of its own for it.
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200] or "the system has no more"
        _end(f"error: out of memory ({reason}); lower the batch size or evaluate.chunk", 2)
    except Interrupted as end:
        _end(f"{end}; the same command goes on from there", 130)
    except KeyboardInterrupt as end:
        _end("interrupted", 128 + (end.args[0] if end.args else signal.SIGINT))


def interrupt_on_signals() -> None:
    """Have SIGINT, SIGTERM and a lost terminal end the program the same way, cleaning up."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, interrupt)


def _show_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Leave out what only repeats an error that was raised, and is said in one line.

    Tensorstore tells of a failed write to loops that orbax has closed by then, hundreds of times.
    """
    error = unraisable.exc_value
    # A file that could not be flushed tries once more when it is forgotten.
    is_full = isinstance(error, OSError) and error.errno in _NO_ROOM
    if not is_full and str(error) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _end(line: str, code: int) -> NoReturn:
    # What libraries say while they are torn down is about the same failure, in many lines.
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    try:
        print(printable(line), file=sys.stderr)
    except OSError:
        _discard(sys.stderr)
    try:
        _flush_output()
    except OSError:
        _discard(sys.stdout)
    sys.exit(code)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _flush_output() -> None:
    sys.stdout.flush()


def _discard(stream: TextIO) -> None:
    """Have the interpreter's own last flush of a stream that can't be written succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def take_option(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """The value of an option, the last one where it is repeated, and the words without it."""
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


def _option_names(kind: type) -> Iterator[str]:
    for dotted, _, kind_of_field in walk(kind):
        name = dotted.replace("_", "-")
        yield f"--{name}"
        if kind_of_field is bool:
            group, dot, last = name.rpartition(".")
            yield f"--{group}{dot}no-{last}"


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
    text = " ".join(message) or "the command line could not be read"
    # It quotes the command line, which can be of any length.
    return text if len(text) <= 500 else f"{text[:497]}..."
