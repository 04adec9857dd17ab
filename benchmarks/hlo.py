"""What a compiled program does, read off its HLO text: transfers between devices, convolutions."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "s16": 2,
    "u16": 2,
    "bf16": 2,
    "f16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
_SHAPE = re.compile(r"\b(" + "|".join(_BYTES) + r")\[([\d,]*)\]")
_INSTRUCTION = re.compile(
    r"= (?P<result>.*?) (?P<kind>" + "|".join(COLLECTIVES) + r")(?P<start>-start)?\("
)


class Array(NamedTuple):
    """What a device has of one result."""

    shape: tuple[int, ...]
    size: int
    """In bytes."""


class Transfer(NamedTuple):
    """One collective operation."""

    kind: str
    """One of COLLECTIVES."""
    arrays: tuple[Array, ...]
    """What each device has at its end."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(array.size for array in self.arrays)


def transfers(text: str) -> list[Transfer]:
    """Every collective operation of a program, from `compiled.as_text()`."""
    return [
        Transfer(match["kind"], tuple(_results(match)))
        for line in text.splitlines()
        if (match := _INSTRUCTION.search(line))
    ]


def by_kind(found: list[Transfer]) -> dict[str, int]:
    """Bytes a step of each kind that occurs."""
    total: Counter[str] = Counter()
    for transfer in found:
        total[transfer.kind] += transfer.size
    return dict(total)


def _results(match: re.Match[str]) -> list[Array]:
    """What an instruction leaves; one that only starts lists its operands before it."""
    arrays = list(_arrays(match["result"]))
    if not match["start"] or match["kind"] == "all-reduce":
        return arrays
    return arrays[1:2] if match["kind"] == "collective-permute" else arrays[len(arrays) // 2 :]


def _arrays(shapes: str) -> Iterator[Array]:
    for kind, dimensions in _SHAPE.findall(shapes):
        shape = tuple(int(length) for length in dimensions.split(",") if length)
        yield Array(shape, _BYTES[kind] * math.prod(shape))
