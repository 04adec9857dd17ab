"""Metadata of option fields (range, choices, scope), and their checks.

Range, scope and kind stand in the field's metadata, so that a field is described in one place.
"""

import dataclasses
import difflib
import os
from collections.abc import Collection, Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pmm_jax.errors import UserError

T = TypeVar("T")

Scope = Literal["run", "test", "execution", "host"]
"""Scope of a field. `run`: what a run computes. `test`: how a trained model is tested.
`execution`: how a run is carried out and watched. `host`: where one machine finds its images, and
how it reads them."""


def number(default: T, least: float, most: float, scope: Scope = "run") -> T:
    """A field that holds a number, or a tuple of numbers, of `least` to `most`."""
    return dataclasses.field(default=default, metadata={"range": (least, most), "scope": scope})


def path(default: str, scope: Scope = "run") -> str:
    """A field that holds a path, in which `~` is the home folder."""
    return dataclasses.field(default=default, metadata={"path": True, "scope": scope})


def choice(default: str, names: Collection[str]) -> str:
    """A field that holds one of these names, among which more may be registered."""
    return dataclasses.field(default=default, metadata={"choices": names})


def option(default: T, scope: Scope) -> T:
    """Declare any other field that doesn't affect what a run computes."""
    return dataclasses.field(default=default, metadata={"scope": scope})


def walk(kind: type, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Dotted name, field and type of every field of a dataclass, those of its groups included."""
    types = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(types[field.name]):
            yield from walk(types[field.name], f"{name}.")
        else:
            yield name, field, types[field.name]


def names_in(kind: type, *scopes: Scope) -> frozenset[str]:
    """Dotted names of a dataclass's fields that have one of these scopes."""
    return frozenset(
        name for name, field, _ in walk(kind) if field.metadata.get("scope", "run") in scopes
    )


def check_fields(options: Any, prefix: str = "") -> None:
    """Check type and range of every field.

    Args:
        options: a dataclass; config files and JSON can put anything into it.
        prefix: of the names in messages.

    Raises:
        UserError: a wrong value; its field is named.
    """
    types = get_type_hints(type(options))
    for field in dataclasses.fields(options):
        name, kind = f"{prefix}{field.name}", types[field.name]
        value = getattr(options, field.name)
        if not _fits(value, kind):
            raise UserError(f"{name} is {shown(value)}; it must be {_wanted(kind)}")
        if dataclasses.is_dataclass(kind):
            check_fields(value, f"{name}.")
        elif "range" in field.metadata:
            _check_range(name, value, *field.metadata["range"])
        elif "choices" in field.metadata:
            check_choice(name, value, field.metadata["choices"])
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                _check_text(name, text)
        if field.metadata.get("path") and field.default and not value:
            raise UserError(f"{name} is empty; name a path, such as {field.default}")


def check_choice(name: str, value: str, names: Collection[str]) -> None:
    """Check that a value is one of these names.

    Raises:
        UserError: it is none; the nearest one is told.
    """
    if value not in names:
        near = difflib.get_close_matches(value[:80], names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"{name} is {shown(value)}; it must be one of {', '.join(names)}{hint}")


def expand_paths(options: T) -> T:
    """A copy of a dataclass in which `~` at the start of a path is the home folder."""
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = expand_paths(value)
        elif field.metadata.get("path"):
            changed[field.name] = os.path.expanduser(value)
    return dataclasses.replace(options, **changed)  # type: ignore[type-var]


def shown(value: object) -> str:
    """A wrong value for a message: as Python writes it, and short."""
    try:
        text = repr(value)
    # An integer of more than 4,300 digits, or an object whose own __repr__ fails in any way.
    except Exception:
        return f"a {type(value).__name__} that can't be shown"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(type(value) is type(one) and value == one for one in get_args(kind))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, tuple):
            return False
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value)
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _wanted(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        return f"a {kind}"
    return f"of type {kind.__name__}"


def _check_range(name: str, value: Any, least: float, most: float) -> None:
    values = value if isinstance(value, tuple) else (value,)
    # Written so that NaN is outside.
    if not all(least <= one <= most for one in values):
        it = "each" if isinstance(value, tuple) else "it"
        raise UserError(f"{name} is {shown(value)}; {it} must lie between {least} and {most}")


def _check_text(name: str, text: str) -> None:
    """Refuse what the system takes neither for a file's name nor for a word of a command."""
    try:
        is_sound = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_sound = False
    if not is_sound:
        raise UserError(f"{name} is {shown(text)}, which holds a character that no name can have")
