"""Comparing claims with recomputed values: tolerances, and the list of what disagrees.

Claimed times are rounded up to whole nanoseconds and claimed rates down to thousandths; a claim may differ from the
exact value by that and by what 64-bit floats lose, and by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from optimizer.results.answer import Mismatch

TWO_NANOSECONDS = Decimal("0.000002")
RELATIVE = Decimal("1e-12")
THOUSANDTH = Decimal("0.001")


def number(value: object) -> Decimal | None:
    """A claimed number as the decimal it prints as; None when it is none or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Decimal(repr(value))


def near(exact: Decimal, claimed: object, above: Decimal, below: Decimal | None = None) -> bool:
    """Whether a claim lies between ``exact - below`` and ``exact + above`` (below = above when left out)."""
    value = number(claimed)
    if value is None:
        return False
    noise = abs(exact) * RELATIVE
    return exact - (above if below is None else below) - noise <= value <= exact + above + noise


class CheckLedger:
    """Counts checks and keeps what disagrees."""

    def __init__(self) -> None:
        self.checks = 0
        self.mismatches: list[Mismatch] = []

    def that(self, what: str, agrees: bool, expected: object, actual: object) -> bool:
        """One check; a disagreement is kept with both values."""
        self.checks += 1
        if not agrees:
            self.mismatches.append(Mismatch(what, _text(expected), _text(actual)))
        return agrees

    def same(self, what: str, expected: object, actual: object) -> bool:
        """Equal, and of the same type (True is not 1)."""
        return self.that(what, type(expected) is type(actual) and expected == actual, expected, actual)

    def time(self, what: str, expected: Decimal | None, actual: object, scale: Decimal = Decimal(1)) -> bool:
        """Milliseconds within two nanoseconds times ``scale``; None is no finite value."""
        if expected is None:
            return self.that(what, actual is None, "no finite value", actual)
        return self.that(what, near(expected, actual, TWO_NANOSECONDS * max(Decimal(1), scale)), expected, actual)

    def rate(self, what: str, expected: Decimal, actual: object, lost: Decimal = Decimal(0)) -> bool:
        """Rounded down to a thousandth; ``lost`` is what times rounded up take from it."""
        return self.that(what, near(expected, actual, Decimal(0), THOUSANDTH + lost), expected, actual)

    @contextmanager
    def about(self, subject: str) -> Iterator[None]:
        """Mismatches found inside carry the subject in front."""
        start = len(self.mismatches)
        yield
        for i in range(start, len(self.mismatches)):
            found = self.mismatches[i]
            self.mismatches[i] = Mismatch(f"{subject}: {found.what}", found.expected, found.actual)


def _text(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, Decimal) else str(value)
