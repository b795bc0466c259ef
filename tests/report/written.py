"""A second reader of written arithmetic, which shares nothing with the product's: Python evaluates it, on exact fractions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

BYTE, TIME, FLOP = {"byte": 1}, {"time": 1}, {"flop": 1}
UNITS: dict[str, tuple[Fraction, dict[str, int]]] = {
    "B": (Fraction(1), BYTE),
    "KiB": (Fraction(2**10), BYTE),
    "MiB": (Fraction(2**20), BYTE),
    "GiB": (Fraction(2**30), BYTE),
    "GB": (Fraction(10**9), BYTE),
    "Gbit": (Fraction(10**9, 8), BYTE),
    "µs": (Fraction(1, 10**6), TIME),
    "ms": (Fraction(1, 1000), TIME),
    "s": (Fraction(1), TIME),
    "min": (Fraction(60), TIME),
    "h": (Fraction(3600), TIME),
    "days": (Fraction(86400), TIME),
    "FLOP": (Fraction(1), FLOP),
    "TFLOP": (Fraction(10**12), FLOP),
    "%": (Fraction(1, 100), {}),
}
NUMBER = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)(\s?[A-Za-zµ%][\w-]*(?:/[A-Za-zµ]+)*|\s?%)?")


@dataclass(frozen=True)
class Q:
    """A number with dimensions; adding different ones is an error."""

    value: Any
    dims: tuple[tuple[str, int], ...] = ()

    def _with(self, other: Q, sign: int) -> tuple[tuple[str, int], ...]:
        powers = dict(self.dims)
        for name, power in other.dims:
            powers[name] = powers.get(name, 0) + sign * power
        return tuple(sorted((name, power) for name, power in powers.items() if power))

    def _same(self, other: Q) -> tuple[tuple[str, int], ...]:
        if self.value and other.value and self.dims != other.dims:
            raise TypeError(f"{self.dims} and {other.dims} do not go together")
        return self.dims if self.value else other.dims

    def __add__(self, other: Q) -> Q:
        return Q(self.value + other.value, self._same(other))

    def __sub__(self, other: Q) -> Q:
        return Q(self.value - other.value, self._same(other))

    def __neg__(self) -> Q:
        return Q(-self.value, self.dims)

    def __mul__(self, other: Q) -> Q:
        return Q(self.value * other.value, self._with(other, 1))

    def __truediv__(self, other: Q) -> Q:
        return Q(self.value / other.value, self._with(other, -1))

    def __pow__(self, other: Q) -> Q:
        if self.dims or other.dims:
            raise TypeError("powers are of plain numbers")
        return Q(float(self.value) ** float(other.value))


def quantity(number: str, unit: str) -> Q:
    """A number with its unit; any word that is no unit counts things."""
    total = Q(Fraction(number.replace(",", "")))
    for position, word in enumerate(unit.strip().split("/") if unit.strip() else ()):
        factor, dims = UNITS.get(word, (Fraction(1), {}))
        one = Q(factor, tuple(dims.items()))
        total = total / one if position else total * one
    return total


def _pick(better: Any) -> Any:
    def choose(*given: Q) -> Q:
        best = given[0]
        for one in given[1:]:
            dims = best._same(one)
            best = Q(one.value if better(one.value, best.value) else best.value, dims)
        return best

    return choose


def _plain(function: Any) -> Any:
    def apply(one: Q) -> Q:
        if one.dims:
            raise TypeError("needs a plain number")
        return Q(function(one.value))

    return apply


NAMES = {
    "Q": quantity,
    "max": _pick(lambda a, b: a > b),
    "min": _pick(lambda a, b: a < b),
    "ceil": _plain(lambda value: Fraction(math.ceil(value if isinstance(value, Fraction) else round(value, 9)))),
    "floor": _plain(lambda value: Fraction(math.floor(value))),
    "ln": _plain(lambda value: math.log(value)),
    "exp": _plain(lambda value: math.exp(value)),
}


def value_of(text: str) -> Q:
    """What written arithmetic comes to."""
    code = NUMBER.sub(lambda found: f"Q('{found.group(1)}', '{found.group(2) or ''}')", text)
    code = code.replace("×", "*").replace("−", "-").replace("^", "**")
    return eval(code, {"__builtins__": {}}, NAMES)


def figure_of(text: str) -> tuple[Q, Fraction]:
    """A figure as printed, and what one in its last digit is, in the same base units."""
    found = re.match(r"(−?)(\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)\s?(µs|[A-Za-z]+(?:/s)?|%)?", text)
    assert found is not None, text
    sign, digits, unit = found.group(1), found.group(2), found.group(3) or ""
    if unit == "of":
        unit = ""
    shown = quantity(digits, unit)
    mantissa, _, power = digits.partition("e")
    places = len(mantissa.partition(".")[2]) - int(power or 0)
    last = quantity("1", unit).value * Fraction(10) ** -places
    return (-shown if sign else shown), last
