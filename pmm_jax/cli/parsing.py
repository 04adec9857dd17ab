"""Parse a command line into a checked Config and the command's own options."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import tyro

from pmm_jax.cli.config_file import config_groups, load_config, nearest
from pmm_jax.config import Config
from pmm_jax.config_check import check
from pmm_jax.errors import UserError
from pmm_jax.fields import check_fields, expand_paths, walk
from pmm_jax.files import printable, user_path

T = TypeVar("T")
R = TypeVar("R", bound=Config)


class Named(NamedTuple):
    """The config that --config names."""

    name: str
    """As it is named."""
    config: Config
    """Its values, before the fields that the command line sets."""


def parse(default: T, arguments: Sequence[str], description: str, program: str | None = None) -> T:
    """A copy of a dataclass with the fields that the command line sets (--group.field VALUE).

    Args:
        default: the values without any argument.
        arguments: the command line, without the program's name.
        description: first lines of --help.
        program: its name in --help, such as `pmm train`; by default that of the process.

    Raises:
        UserError: a misspelt field (with the nearest name), or a value of the wrong type or out of
            its range.
        SystemExit: after --help.
    """
    check_names(type(default), arguments)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found = tyro.cli(
                type(default),
                prog=program,
                default=default,
                args=arguments,
                description=description,
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(_first_sentence(said.getvalue())) from None
    check_fields(found)
    return expand_paths(found)


def check_names(kind: type, arguments: Sequence[str], others: Sequence[str] = ()) -> None:
    """Refuse options that are no field of the dataclass.

    Args:
        kind: the dataclass.
        arguments: the command line.
        others: options that are no field.

    Raises:
        UserError: a misspelt field, with the nearest name.
    """
    options = [*others, *_option_names(kind)]
    for argument in arguments:
        name = argument.split("=", 1)[0].replace("_", "-")
        if name.startswith("--") and name not in (*options, "--help"):
            raise UserError(f"no field {argument.split('=', 1)[0][:100]}{nearest(name, options)}")


def parse_run(
    arguments: Sequence[str], options: type[R], description: str, program: str | None = None
) -> tuple[Config, R]:
    """The command line of a run: --config FILE, the caller's own options, and any config field.

    Args:
        arguments: the command line, without the program's name.
        options: a dataclass that adds the caller's own options, with defaults, to Config.
        description: first line of --help.
        program: as of `parse`.

    Returns:
        The checked config, and the whole, options and all.
    """
    config, found, _ = parse_command(arguments, options, description, program)
    return config, found


def parse_command(
    arguments: Sequence[str], options: type[R], description: str, program: str | None = None
) -> tuple[Config, R, Named]:
    """Parse as `parse_run` does; and the config that --config names, as it is named."""
    path, rest = take_option(arguments, "--config")
    check_names(options, rest, ("--config",))
    if path is None and not wants_help(rest):
        raise UserError("--config FILE is missing; name a file, or a shipped config such as demo")
    named = Named("", Config()) if path is None else Named(path, load_config(path))
    description = f"{description} --config names a file, or a shipped config such as market1501."
    return *parse_options(rest, options, description, named.config, program), named


def parse_options(
    arguments: Sequence[str],
    options: type[R],
    description: str,
    config: Config,
    program: str | None = None,
) -> tuple[Config, R]:
    """Parse options as `parse_run` does, with the fields of a config as defaults."""
    default = options(**{group: getattr(config, group) for group in config_groups()})
    run = parse(default, arguments, description, program)
    return check(Config(**{group: getattr(run, group) for group in config_groups()})), run


def leading_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words ahead of the first option, and the rest."""
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return list(arguments[:first]), list(arguments[first:])


def output_file(option: str, value: str, ending: str) -> Path:
    """The file that an option names, which is to be written.

    Raises:
        UserError: another ending, or there is no such folder.
    """
    found = user_path(value)
    if found.suffix != ending:
        raise UserError(f"{option} {printable(value)} must end in {ending}")
    if not found.parent.is_dir():
        raise UserError(f"{option} {printable(value)}: there is no folder {found.parent}")
    return found


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether the arguments hold --help."""
    return bool({"-h", "--help"} & set(arguments))


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


def _option_names(kind: type) -> Iterator[str]:
    for dotted, _, kind_of_field in walk(kind):
        name = dotted.replace("_", "-")
        yield f"--{name}"
        if kind_of_field is bool:
            group, dot, last = name.rpartition(".")
            yield f"--{group}{dot}no-{last}"


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
