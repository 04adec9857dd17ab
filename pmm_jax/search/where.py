"""Conditions on a gallery's columns, such as `camera != 3 and id in ["a", "b"]`.

They come from the network, too, so this is all there is: a column compared with a number or a text,
`in` and `not in` with a list of such, `and`, `or`, `not`, and parentheses. Nothing is evaluated;
an engine is given a condition as `to_text` writes it anew.
"""

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pmm_jax.errors import UserError
from pmm_jax.files import printable

LONGEST = 1000
"""Characters of a condition."""
DEEPEST = 50
"""Parentheses and words `not` in a condition: each is a call within another."""
TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)
    |(?P<text>"(?:[^"\\]|\\["\\])*"|'(?:[^'\\]|\\['\\])*')
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>==|!=|<=|>=|<|>|=|\(|\)|\[|\]|,))""",
    re.VERBOSE,
)
HINT = 'write it as camera != 3 and id in ["a", "b"]'
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
RESERVED = ("and", "or", "not", "in")
MOST = 2**63
"""Beyond any number that a column holds as an integer."""
Literal = int | float | str
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """A column compared with a number or a text."""

    column: str
    sign: str
    value: Literal

    def rows(self, columns: Columns) -> np.ndarray:
        """(N,) bool: where it holds."""
        column = _column(columns, self.column, [self.value])
        return np.asarray(COMPARE[self.sign](column, self.value), bool)

    def to_text(self) -> str:
        """The condition as engines take it."""
        return f"{self.column} {self.sign} {_literal(self.value)}"


@dataclass(frozen=True)
class Among:
    """A column whose value is one of a list."""

    column: str
    values: tuple[Literal, ...]

    def rows(self, columns: Columns) -> np.ndarray:
        """(N,) bool: where it holds."""
        column = _column(columns, self.column, self.values)
        return np.isin(column, np.array(self.values))

    def to_text(self) -> str:
        """The condition as engines take it."""
        return f"{self.column} in [{', '.join(map(_literal, self.values))}]"


@dataclass(frozen=True)
class Not:
    """A condition that doesn't hold."""

    part: "Condition"

    def rows(self, columns: Columns) -> np.ndarray:
        """(N,) bool: where it holds."""
        return ~self.part.rows(columns)

    def to_text(self) -> str:
        """The condition as engines take it."""
        return f"not ({self.part.to_text()})"


@dataclass(frozen=True)
class Joined:
    """Two conditions or more, of which all must hold (`and`), or any (`or`)."""

    word: str
    parts: tuple["Condition", ...]

    def rows(self, columns: Columns) -> np.ndarray:
        """(N,) bool: where it holds."""
        join = np.logical_and if self.word == "and" else np.logical_or
        return np.asarray(join.reduce([part.rows(columns) for part in self.parts]))

    def to_text(self) -> str:
        """The condition as engines take it."""
        return f" {self.word} ".join(f"({part.to_text()})" for part in self.parts)


Condition = Comparison | Among | Not | Joined


def parse_where(text: str) -> Condition:
    """Read a condition.

    Raises:
        UserError: it is none.
    """
    if len(text) > LONGEST:
        raise UserError(f"a condition of {len(text)} characters is too long; use at most {LONGEST}")
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the tokens: or, and, not, comparison."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._next = text, _tokens(text), 0
        if sum(token.lower() in ("(", "not") for _, token in self._tokens) > DEEPEST:
            raise UserError(f"a condition has more than {DEEPEST} parentheses; use fewer")

    def whole(self) -> Condition:
        condition = self._joined("or")
        if self._next < len(self._tokens):
            raise self._refusal()
        return condition

    def _refusal(self) -> UserError:
        is_end = self._next == len(self._tokens)
        return _refusal(self._text, "its end" if is_end else self._tokens[self._next][1])

    def _peek(self) -> str:
        """Word or sign that comes next, empty before a literal and at the end."""
        kind, token = (*self._tokens, ("", ""))[self._next]
        return token.lower() if kind in ("word", "sign") else ""

    def _take(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._refusal()

    def _joined(self, word: str) -> Condition:
        parts = [self._part(word)]
        while self._take(word):
            parts.append(self._part(word))
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _part(self, word: str) -> Condition:
        return self._joined("and") if word == "or" else self._negated()

    def _negated(self) -> Condition:
        if self._take("not"):
            return Not(self._negated())
        if self._take("("):
            condition = self._joined("or")
            self._expect(")")
            return condition
        return self._comparison()

    def _comparison(self) -> Condition:
        kind, column = (*self._tokens, ("", ""))[self._next]
        if kind != "word" or column.lower() in RESERVED:
            raise self._refusal()
        self._next += 1
        for sign in COMPARE:
            if self._take(sign) or (sign == "==" and self._take("=")):
                return Comparison(column, sign, self._literal())
        is_negated = self._take("not")
        self._expect("in")
        self._expect("[")
        values = [self._literal()]
        while self._take(","):
            values.append(self._literal())
        self._expect("]")
        among = Among(column, tuple(values))
        return Not(among) if is_negated else among

    def _literal(self) -> Literal:
        kind, token = (*self._tokens, ("", ""))[self._next]
        if kind not in ("number", "text"):
            raise self._refusal()
        self._next += 1
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        value = float(token) if re.search("[.eE]", token) else int(token)
        if not -MOST < value < MOST:
            raise UserError(f"{token} is too large a number for a condition")
        return value


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token."""
    found, start = [], 0
    while start < len(text.rstrip()):
        match = TOKEN.match(text, start)
        if match is None:
            raise _refusal(text, text[start:].strip())
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        start = match.end()
    return found


def _refusal(text: str, token: str) -> UserError:
    return UserError(
        f"can't read the condition {printable(text[:200])!r} at {printable(token[:40])}; {HINT}"
    )


def _column(columns: Columns, name: str, values: Iterable[Literal]) -> np.ndarray:
    """A column that such values can be compared with."""
    if name not in columns:
        raise UserError(f"no column {printable(name)}; there are {printable(', '.join(columns))}")
    column = columns[name]
    is_text = column.dtype.kind == "U"
    for value in values:
        if isinstance(value, str) != is_text:
            kind, example = ("text", '"3"') if is_text else ("numbers", "3")
            raise UserError(
                f"column {printable(name)} holds {kind}, and {_literal(value)} is none; write "
                f"{printable(name)} == {example}"
            )
    return column


def _literal(value: Literal) -> str:
    return json.dumps(value, ensure_ascii=False)
