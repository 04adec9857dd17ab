"""docs/reference/api.md has all that is public, and examples of it (test_doctests.py runs them)."""

import dataclasses
import inspect
import re
from types import ModuleType

import pytest

import pmm_jax
from pmm_jax import evaluation, methods, mixing
from pmm_jax.data import datasets
from tests.docs.api_page import Documented, documented

DOCUMENTED = documented()


@pytest.mark.parametrize("module", [pmm_jax, evaluation, datasets, methods, mixing])
def test_what_a_module_exports_is_on_the_page(module: ModuleType) -> None:
    shown = [one.target for one in DOCUMENTED]
    for name in module.__all__:
        value = getattr(module, name)
        assert isinstance(value, ModuleType) or any(value is one for one in shown), name


def is_record(target: object) -> bool:
    """Whether it only holds values: what returns it, or takes it, shows it."""
    return dataclasses.is_dataclass(target) or hasattr(target, "_fields")


@pytest.mark.parametrize("one", DOCUMENTED, ids=lambda one: one.name)
def test_what_is_called_has_an_example(one: Documented) -> None:
    code = one.code()
    if one.kind == "function":
        assert re.search(rf"\b{one.name.rpartition('.')[2]}\b", code), "no example"
    if one.kind in ("class", "exception") and not is_record(one.target):
        assert code, "no example"
    for name in one.members:
        assert re.search(rf"(\.|def ){name}\b", code), f"no example of {name}"


def test_an_example_that_is_not_run_says_why() -> None:
    lines = [line for one in DOCUMENTED for line in one.code().splitlines() if "+SKIP" in line]
    assert len(lines) <= 1
    assert all(re.search(r"  # \w.+  # doctest: \+SKIP$", line) for line in lines)


def test_fields_say_what_they_are() -> None:
    for one in DOCUMENTED:
        if one.kind == "class" and is_record(one.target) and "config" not in one.name:
            source = inspect.getsource(one.target)
            bare = re.findall(r"^    (\w+): .*\n(?!    \"\"\")", source, re.MULTILINE)
            assert not bare, one.name
