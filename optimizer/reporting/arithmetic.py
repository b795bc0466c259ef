"""Evaluates the arithmetic that derivations write down, units included, so that no written formula goes unchecked.

A small language, as people write it: numbers with thousands separators and an optional unit (``3,350 GB/s``, the slash of a
unit without spaces), ``+ − × / ^``, parentheses, ``max min ceil floor ln exp``. Bytes, time and FLOP are dimensions; words
for things that are counted (layers, tokens, GPUs) have none. Adding bytes to milliseconds is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Dimension = tuple[int, int, int]
"""Powers of byte, millisecond and FLOP."""

PLAIN: Dimension = (0, 0, 0)
MIB = 1024**2
UNITS: dict[str, tuple[float, Dimension]] = {
    "B": (1, (1, 0, 0)),
    "KiB": (1024, (1, 0, 0)),
    "MiB": (MIB, (1, 0, 0)),
    "GiB": (1024 * MIB, (1, 0, 0)),
    "TiB": (MIB**2, (1, 0, 0)),
    "MB": (1e6, (1, 0, 0)),
    "GB": (1e9, (1, 0, 0)),
    "Gbit": (1.25e8, (1, 0, 0)),
    "ns": (1e-6, (0, 1, 0)),
    "µs": (1e-3, (0, 1, 0)),
    "ms": (1, (0, 1, 0)),
    "s": (1e3, (0, 1, 0)),
    "min": (6e4, (0, 1, 0)),
    "h": (3.6e6, (0, 1, 0)),
    "FLOP": (1, (0, 0, 1)),
    "TFLOP": (1e12, (0, 0, 1)),
    "%": (0.01, PLAIN),
}
"""Factor to bytes, milliseconds and FLOP, and their powers. Any other word counts things."""
FUNCTIONS = frozenset({"max", "min", "ceil", "floor", "ln", "exp"})
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s?(?P<unit>[A-Za-zµ%][\w-]*(?:/[A-Za-zµ]+)*|%))?"
    r"|(?P<name>[a-z]+)|(?P<sign>[+−×/^(),]))"
)
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class UnitValue:
    """A value in bytes, milliseconds and FLOP to the powers of ``dimension``."""

    value: float
    dimension: Dimension = PLAIN


class ArithmeticTextError(ValueError):
    """The text is not arithmetic, or its units do not go together."""


def evaluate(text: str) -> UnitValue:
    """The value of a written expression.

    Raises:
        ArithmeticTextError: not an expression, or units that cannot be added or compared.
    """
    try:
        return _Reader(text).all()
    except (ZeroDivisionError, OverflowError) as error:
        raise ArithmeticTextError(f"{text!r}: {error}") from None


def unit_of(unit: str) -> UnitValue:
    """What one of a unit such as ``GB/s`` is; a counted thing is 1."""
    total = UnitValue(1.0)
    for position, word in enumerate(unit.split("/") if unit else ()):
        factor, dimension = UNITS.get(word, (1.0, PLAIN))
        total = _times(total, UnitValue(factor, dimension), -1 if position else 1)
    return total


def _times(first: UnitValue, second: UnitValue, power: int = 1) -> UnitValue:
    dimension = tuple(a + power * b for a, b in zip(first.dimension, second.dimension, strict=True))
    return UnitValue(first.value * second.value**power, dimension)  # type: ignore[arg-type]


class _Reader:
    """Recursive descent: sums of products of powers of atoms."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._tokens: list[re.Match[str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None:
                raise ArithmeticTextError(f"{text!r}: cannot read {text[position:]!r}")
            self._tokens.append(found)
            position = found.end()

    def all(self) -> UnitValue:
        result = self._sum()
        if self._at < len(self._tokens):
            raise ArithmeticTextError(f"{self._text!r}: unexpected {self._tokens[self._at].group()!r}")
        return result

    def _sign(self, *wanted: str) -> str | None:
        """Take the next token if it is one of the signs."""
        if self._at < len(self._tokens) and self._tokens[self._at]["sign"] in wanted:
            self._at += 1
            return self._tokens[self._at - 1]["sign"]
        return None

    def _need(self, sign: str) -> None:
        if self._sign(sign) is None:
            raise ArithmeticTextError(f"{self._text!r}: {sign!r} is missing")

    def _sum(self) -> UnitValue:
        total = self._product()
        while sign := self._sign("+", "−"):
            other = self._product()
            same = self._common([total, other])
            total = UnitValue(total.value + (other.value if sign == "+" else -other.value), same)
        return total

    def _product(self) -> UnitValue:
        total = self._power()
        while sign := self._sign("×", "/"):
            total = _times(total, self._power(), 1 if sign == "×" else -1)
        return total

    def _power(self) -> UnitValue:
        base = self._atom()
        if self._sign("^") is None:
            return base
        power = self._atom()
        if power.dimension != PLAIN or base.dimension != PLAIN:
            raise ArithmeticTextError(f"{self._text!r}: powers are of plain numbers only")
        return UnitValue(base.value**power.value)

    def _atom(self) -> UnitValue:
        if self._sign("(") is not None:
            inner = self._sum()
            self._need(")")
            return inner
        if self._sign("−") is not None:
            inner = self._atom()
            return UnitValue(-inner.value, inner.dimension)
        if self._at >= len(self._tokens):
            raise ArithmeticTextError(f"{self._text!r}: ends too early")
        token = self._tokens[self._at]
        self._at += 1
        if token["number"] is not None:
            return _times(UnitValue(float(token["number"].replace(",", ""))), unit_of(token["unit"] or ""))
        if token["name"] in FUNCTIONS:
            return self._call(token["name"])
        raise ArithmeticTextError(f"{self._text!r}: unexpected {token.group()!r}")

    def _call(self, name: str) -> UnitValue:
        self._need("(")
        given = [self._sum()]
        while self._sign(","):
            given.append(self._sum())
        self._need(")")
        if name in ("max", "min"):
            same = self._common(given)
            values = [one.value for one in given]
            return UnitValue(max(values) if name == "max" else min(values), same)
        if len(given) != 1:
            raise ArithmeticTextError(f"{self._text!r}: {name} takes one value")
        value, dimension = given[0].value, given[0].dimension
        if name in ("ceil", "floor"):
            near = round(value)
            if abs(value - near) <= _SAME * max(1.0, abs(value)):
                return UnitValue(float(near), dimension)
            return UnitValue(float(math.ceil(value) if name == "ceil" else math.floor(value)), dimension)
        if dimension != PLAIN:
            raise ArithmeticTextError(f"{self._text!r}: {name} takes a plain number")
        if name == "ln" and value <= 0:
            raise ArithmeticTextError(f"{self._text!r}: ln of {value}")
        return UnitValue(math.log(value) if name == "ln" else math.exp(value))

    def _common(self, given: list[UnitValue]) -> Dimension:
        """The one dimension that all values have; 0 goes with anything."""
        found = {one.dimension for one in given if one.value != 0}
        if len(found) > 1:
            raise ArithmeticTextError(f"{self._text!r}: adds or compares different units")
        return next(iter(found), given[0].dimension)
