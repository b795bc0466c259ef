"""Collects derivations: each is written once, evaluated as it is written, and held against its figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optimizer.explain.common.numbers import amount
from optimizer.facts.hardware import GIB
from optimizer.reporting.arithmetic import ArithmeticTextError, evaluate, unit_of
from optimizer.reporting.document import Derivation, Figure

TOLERANCE = 1e-6
"""Relative; numbers are written with nine digits or more, and latencies are rounded up to a nanosecond."""
EXACT = 15
"""Digits where little is left of a difference."""
LEAST = {"ms": 3e-6, "B": 1.0, "%": 1e-6}
"""Absolute tolerances of what is rounded up to whole nanoseconds or bytes, and of shares left over from a whole."""


class Ledger:
    """Derivations by id, in the order in which they were first given."""

    def __init__(self) -> None:
        self._found: dict[str, Derivation] = {}

    def __contains__(self, id: str) -> bool:
        return id in self._found

    @property
    def derivations(self) -> tuple[Derivation, ...]:
        """All of them."""
        return tuple(self._found.values())

    def figure(self, id: str) -> Figure:
        """The figure of a derivation given before."""
        return self._found[id].figure

    def value(self, id: str) -> float:
        """Its value."""
        value = self._found[id].figure.value
        assert value is not None
        return float(value)

    def derive(
        self,
        id: str,
        title: str,
        formula: str,
        numbers: str,
        value: float | int,
        unit: str,
        *,
        text: str | None = None,
        note: str = "",
        inputs: Sequence[str] = (),
    ) -> Figure:
        """Record how a figure comes about, and give the figure.

        Args:
            numbers: arithmetic that ``arithmetic.evaluate`` reads.
            value, unit: what it gives; ``B`` is shown in GiB unless ``text`` says it otherwise.
        """
        figure = Figure(text or shown(value, unit), value, unit, id)
        agrees = gives(numbers, value, unit) if numbers else None
        known = tuple(name for name in dict.fromkeys(inputs) if name in self._found)
        self._found.setdefault(id, Derivation(id, title, formula, numbers, figure, note, known, agrees))
        return self._found[id].figure

    def given(
        self, id: str, title: str, value: float | int, unit: str, note: str, *, text: str | None = None
    ) -> Figure:
        """A figure that is read from the facts or computed by a method that no single line shows; ``note`` says which."""
        return self.derive(id, title, note, "", value, unit, text=text)


def gives(numbers: str, value: float | int, unit: str) -> bool:
    """Whether written arithmetic gives a value in a unit, dimensions included."""
    try:
        found, one = evaluate(numbers), unit_of(unit)
    except ArithmeticTextError:
        return False
    wanted = value * one.value
    if wanted == 0 or found.value == 0:
        near = abs(found.value - wanted) <= LEAST.get(unit, TOLERANCE) * one.value
        return near and (found.dimension == one.dimension or found.value == 0)
    least = LEAST.get(unit, 0.0) * one.value
    close = math.isclose(found.value, wanted, rel_tol=TOLERANCE, abs_tol=least)
    return close and found.dimension == one.dimension


def shown(value: float | int, unit: str) -> str:
    """A value as people read it."""
    if unit == "B":
        return f"−{size(-value)}" if value < 0 else size(value)
    if unit == "%":
        return f"{value:.3g}%" if abs(value) < 10 else f"{value:.1f}%"
    if unit == "ms" and 0 < abs(value) < 0.005:
        return f"{value * 1e3:.3g} µs"
    if unit == "" and isinstance(value, float):
        return f"{value:,.4g}"
    return amount(value, "requests/s" if unit == "requests/s" else unit)


def size(value: float) -> str:
    """Bytes in the unit that reads best."""
    for factor, unit in ((GIB, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if abs(value) >= factor:
            return f"{value / factor:,.2f} {unit}"
    return f"{value:,.0f} B"


def share(value: float) -> str:
    """A share close to 1 in percent, rounded down, so that it never reads as all where it is not."""
    return f"{math.floor(value * 1e7 + 1e-6) / 1e5:.5f}%"


def number(value: float | int, digits: int = 9) -> str:
    """A number for written arithmetic: whole numbers in full, others with so many significant digits, never scientific."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}" if value >= 0 else f"(−{int(-value):,})"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):,.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text if value > 0 else f"(−{text})"


def byte(value: float | int) -> str:
    """Bytes for written arithmetic."""
    return f"{number(value)} B"


def ms(value: float | int) -> str:
    """Milliseconds for written arithmetic."""
    return f"{number(value)} ms"


def total(parts: Sequence[str]) -> str:
    """A sum for written arithmetic; ``0`` when there are no parts."""
    return " + ".join(parts) or "0"
