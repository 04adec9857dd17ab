"""What fields say about themselves, of every dataclass of options there is."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest

from pmm_jax.cli.ablate import AblateOptions
from pmm_jax.cli.compare import CompareOptions
from pmm_jax.cli.demo import DemoOptions
from pmm_jax.cli.eval_options import FileOptions, RunOptions
from pmm_jax.cli.train import TrainOptions
from pmm_jax.config import Config, RankConfig
from pmm_jax.data.synthetic import SyntheticSettings
from pmm_jax.errors import UserError
from pmm_jax.fields import check_fields, expand_paths, names_in, number, path, shown, walk

OPTIONS = [
    TrainOptions,
    RunOptions,
    FileOptions,
    DemoOptions,
    CompareOptions,
    AblateOptions,
    SyntheticSettings,
    RankConfig,
]
"""Config and DistributedConfig are part of the first."""


def numbers(kind: type) -> Iterator[tuple[str, dataclasses.Field, type]]:
    """Dotted name, field and type, int or float, of all fields that hold numbers."""
    for name, field, annotation in walk(kind):
        one = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
        if one in (int, float):
            yield name, field, one


NUMBERS = [
    pytest.param(kind, name, field, one, id=f"{kind.__module__}.{kind.__name__}.{name}")
    for kind in OPTIONS
    for name, field, one in numbers(kind)
]


def changed(options: Any, name: str, value: object) -> Any:
    """A copy with another value in the field of a dotted name; nothing is checked."""
    group, _, rest = name.partition(".")
    copy = object.__new__(type(options))
    vars(copy).update(vars(options))
    vars(copy)[group] = changed(getattr(options, group), rest, value) if rest else value
    return copy


def value_of(options: Any, name: str) -> Any:
    for word in name.split("."):
        options = getattr(options, word)
    return options


@pytest.mark.parametrize(("kind", "name", "field", "one"), NUMBERS)
def test_every_number_has_a_range_that_is_kept(
    kind: type, name: str, field: dataclasses.Field, one: type
) -> None:
    least, most = field.metadata["range"]
    assert math.isfinite(least)
    assert math.isfinite(most)
    assert least < most
    default = value_of(kind(), name)
    below, above = (least - 1, most + 1) if one is int else (least - 1e-9, most + 1e-6)
    wrong = [below, above, math.nan, math.inf, -math.inf, 2**63, -(2**63), 10**5000]
    for value in wrong:
        # Each element of a tuple alone.
        if isinstance(default, tuple):
            sound = default or (least,)
            values = [(*sound[:i], value, *sound[i + 1 :]) for i in range(len(sound))]
        else:
            values = [value]
        for bad in values:
            with pytest.raises(UserError, match=rf"^{name} is ") as refusal:
                check_fields(changed(kind(), name, bad))
            assert len(str(refusal.value)) < 250
    for edge in (least, most):
        as_typed = one(edge)
        whole = (as_typed,) * len(default) if isinstance(default, tuple) else as_typed
        check_fields(changed(kind(), name, whole))


def test_the_loop_above_sees_all_there_is() -> None:
    seen = {param.values[1] for param in NUMBERS}
    assert {"data.image_size", "optim.betas", "evaluate.seed", "processes", "junk"} <= seen
    assert {"seeds", "query_block", "k1", "train.seed", "model.stage_sizes"} <= seen
    assert len(NUMBERS) > 200


@pytest.mark.parametrize("kind", OPTIONS)
def test_defaults_are_in_their_ranges(kind: type) -> None:
    check_fields(kind())


@dataclasses.dataclass(frozen=True)
class Group:
    size: int = number(3, 1, 5)
    place: str = path("~/here", scope="host")


@dataclasses.dataclass(frozen=True)
class Sample:
    group: Group = dataclasses.field(default_factory=Group)
    some: tuple[float, ...] = number((), 0, 1, scope="test")
    word: str = "~"
    other: str = path("")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Sample(group=Group(size=6)), "group.size is 6; it must lie between 1 and 5"),
        (Sample(group=Group(size=True)), "group.size is True; it must be of type int"),
        (Sample(group=Group(size="3")), "group.size is '3'; it must be of type int"),  # type: ignore[arg-type]
        (Sample(group=3), "group is 3; it must be of type Group"),  # type: ignore[arg-type]
        (Sample(some=(0.5, 2)), r"some is \(0.5, 2\); each must lie between 0 and 1"),
        (Sample(some=[0.5]), r"some is \[0.5\]; it must be a tuple"),  # type: ignore[arg-type]
        (Sample(word="a\0b"), r"word is 'a\\x00b', which holds a character"),
        (Sample(other="\ud800"), r"other is '\\ud800', which holds a character"),
        (Sample(group=Group(place="")), "group.place is empty; name a path, such as ~/here"),
    ],
)
def test_a_wrong_value_is_named(options: Sample, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        check_fields(options)


def test_a_value_is_shown_whatever_it_is() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown("x" * 1000) == f"'{'x' * 76}..."
    assert shown(10**5000) == "a int that can't be shown"
    assert shown(Broken()) == "a Broken that can't be shown"


def test_names_by_scope() -> None:
    assert names_in(Sample, "host") == {"group.place"}
    assert names_in(Sample, "host", "test") == {"group.place", "some"}
    assert names_in(Sample, "run") == {"group.size", "word", "other"}


def test_home_is_expanded_in_paths_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = expand_paths(Sample(other="a/~/b"))
    assert found.group.place == "/home/me/here"
    assert (found.word, found.other) == ("~", "a/~/b")
    assert expand_paths(found) == found
    assert expand_paths(Sample(other="~")).other == "/home/me"
    paths = [name for name, field, _ in walk(Config) if field.metadata.get("path")]
    assert paths == ["data.root", "data.cache_dir", "model.weights", "method.saliency_model"]
