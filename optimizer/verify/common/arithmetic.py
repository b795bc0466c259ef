"""Exact numbers: decimals as people wrote them become fractions; what is irrational or long is carried at 60 digits.

Accuracy: bytes, FLOP and the times of their parts are ``Fraction``, hence exact. Sums of times, powers, logarithms and
the birth-death chain run in ``Decimal`` with 60 significant digits; each operation adds a relative error below 1e-59, and
no chain has more than some 100,000 operations on positive terms, so results are true to 50 digits. A nanosecond in an
hour is the 13th.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from optimizer.catalog.constants import CostConstants, constants

_CONTEXT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)


@contextmanager
def sixty_digits() -> Iterator[None]:
    """Decimal arithmetic inside runs at 60 digits; usable as a decorator."""
    with localcontext(_CONTEXT):
        yield


@lru_cache(maxsize=4096)
def exact(value: float | int) -> Fraction:
    """The decimal number a person wrote: 0.1 is one tenth, not the nearest binary fraction."""
    return Fraction(repr(value))


def decimal(value: Fraction | int) -> Decimal:
    """To 60 digits."""
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def ceil_ratio(numerator: int, denominator: int) -> int:
    """Ceiling of the quotient of two whole numbers."""
    return -(-numerator // denominator)


def ceil(value: Fraction) -> int:
    """Smallest whole number not below."""
    return ceil_ratio(value.numerator, value.denominator)


@dataclass(frozen=True, slots=True)
class Affine:
    """``fixed + slope * x``, for example the time of a message of x bytes."""

    slope: Fraction = Fraction(0)
    fixed: Fraction = Fraction(0)

    def at(self, x: Fraction | int) -> Fraction:
        """Value at x."""
        return self.fixed + self.slope * x

    def plus(self, other: Affine, times: Fraction | int = 1) -> Affine:
        """This plus ``times`` the other."""
        return Affine(self.slope + times * other.slope, self.fixed + times * other.fixed)


@lru_cache(maxsize=64)
def constant(name: str) -> Fraction:
    """A constant of the cost model by its field name, exactly as its file states it."""
    value: float | int = getattr(constants(), name)
    return exact(value)


def facts_of_costs() -> CostConstants:
    """The constants that are not single numbers: formats and engines."""
    return constants()
