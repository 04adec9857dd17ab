"""The public objects, which are those on docs/reference/api.md, and their examples."""

import doctest
import inspect
import re
from importlib import import_module
from typing import Any, NamedTuple

from tests.docs.pages import ROOT

PAGE = ROOT / "docs/reference/api.md"
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(\w+):: ([\w.]+)\n(?:   :members:(.*)\n)?", re.MULTILINE)


class Documented(NamedTuple):
    """An object on the page."""

    kind: str
    """`function`, `class`, `exception` or `data`."""
    name: str
    """Where a reader imports it from."""
    target: Any
    members: dict[str, Any]
    """Methods and properties that are shown with a class."""

    def doctests(self) -> list[doctest.DocTest]:
        """Its own docstring and those of its members, as far as they have examples."""
        parser, found = doctest.DocTestParser(), []
        for name, one in {"": self.target, **self.members}.items():
            title = f"{self.name}.{name}".rstrip(".")
            test = parser.get_doctest(inspect.getdoc(one) or "", {}, title, None, None)
            found += [test] if test.examples else []
        return found

    def code(self) -> str:
        """What its examples type."""
        return "".join(line.source for test in self.doctests() for line in test.examples)


def documented() -> list[Documented]:
    """All objects on the page, in its order."""
    found = []
    for kind, name, wanted in DIRECTIVE.findall(PAGE.read_text(encoding="utf-8")):
        module, _, attribute = name.rpartition(".")
        target = getattr(import_module(module), attribute)
        found.append(Documented(kind, name, target, _members(target, re.findall(r"\w+", wanted))))
    return found


def _members(target: Any, wanted: list[str]) -> dict[str, Any]:
    """Those that autodoc shows: the ones that are wanted, or all of the class's own."""
    if not inspect.isclass(target):
        return {}
    return {
        name: getattr(target, name)
        for name, value in vars(target).items()
        if (inspect.isroutine(value) or hasattr(value, "fget") or hasattr(value, "attrname"))
        and (name in wanted if wanted else not name.startswith("_"))
    }
