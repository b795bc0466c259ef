"""Numbers with units, as reports write them, and how near two of them have to be to say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

GB, GIB = 10**9, 1024**3

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}

# One alternative per family, longest first; ``unit_of`` turns the match into a dimension and a factor.
UNIT = (
    r"(?:[KMGTkmgt]i?B(?:ytes?)?\s?/\s?s(?:ec(?:ond)?)?|[KMGT]Bps|[KMGT]b(?:it)?(?:ps|\s?/\s?s(?:ec)?)"
    r"|(?:output |generated |decode )?(?:tokens?|tok)\s?(?:/|per )\s?s(?:ec(?:ond)?)?"
    r"|(?:requests?|reqs?|queries)\s?(?:/|per )\s?s(?:ec(?:ond)?)?|RPS|rps|QPS|qps"
    r"|[KMGTk]i?B|[Bb]ytes?|milliseconds?|ms|microseconds?|[µμu]s|seconds?|secs?|s|minutes?|min|hours?|h"
    r"|%|percent|per cent|billion|bn|million|trillion|thousand|[BMKk])(?![A-Za-z])"
)
NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?"
AMOUNT = re.compile(
    rf"(?<![\w.,])(?P<number>{NUMBER})(?:\s?(?:-|–|to)\s?(?P<high>{NUMBER}))?(?:[\s-]?(?P<unit>{UNIT}))?"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number as written and in base units: bytes, bytes/s, ms, per cent, or plain counts. A range has ``high`` > ``value``."""

    number: float
    unit: str
    dimension: str
    value: float
    binary: float
    """The value with K, M, G read as powers of 1024; equal to ``value`` for other units."""
    high: float
    step: float
    """Half of the last printed digit, in base units."""
    text: str
    start: int
    end: int

    def near(self, exact: float, relative: float) -> bool:
        """Whether it says ``exact`` (base units): within rounding of its digits or a relative tolerance, GB or GiB."""
        slack = max(self.step * 1.001, relative * abs(exact))
        if self.high > self.value:
            return self.value - slack <= exact <= self.high + slack
        ratio = self.binary / self.value if self.value else 1.0
        return abs(self.value - exact) <= slack or abs(self.binary - exact) <= max(
            self.step * ratio, relative * abs(exact)
        )

    def near_any(self, values: list[float], relative: float) -> bool:
        """Whether it says one of several values."""
        return any(self.near(value, relative) for value in values)

    @property
    def least(self) -> float:
        """The smaller reading, base units."""
        return min(self.value, self.binary)

    @property
    def most(self) -> float:
        """The larger reading, base units."""
        return max(self.high, self.binary)


def amounts(text: str) -> Iterator[Amount]:
    """Every number of a text with its unit."""
    for match in AMOUNT.finditer(text):
        yield _amount(match)


def first_amount(text: str, dimension: str | None = None) -> Amount | None:
    """The first number of a dimension ("" is a plain count; None is any)."""
    for found in amounts(text):
        if dimension is None or found.dimension == dimension:
            return found
    return None


def _amount(match: re.Match[str]) -> Amount:
    written = match["number"].replace(",", "")
    number = float(written)
    digits = len(written.split(".")[1].split("e")[0].split("E")[0]) if "." in written else 0
    unit = (match["unit"] or "").strip()
    dimension, factor, binary = unit_of(unit)
    high = float(match["high"].replace(",", "")) if match["high"] else number
    if high < number:
        high = number
    return Amount(
        number,
        unit,
        dimension,
        number * factor,
        number * binary,
        high * factor,
        0.5 * 10**-digits * factor,
        match.group().strip(),
        match.start(),
        match.end(),
    )


def unit_of(unit: str) -> tuple[str, float, float]:
    """(dimension, factor to base units, factor with binary prefixes)."""
    compact = re.sub(r"\s+", "", unit)
    low = compact.lower()
    rate = re.fullmatch(r"([KMGTkmgt])(i?)B(?:ytes?)?(?:/s(?:ec(?:ond)?)?|ps)", compact)
    if rate:
        prefix = rate[1].lower()
        decimal = _BINARY[prefix] if rate[2] else _DECIMAL[prefix]
        return "bytes/s", decimal, _BINARY[prefix]
    bits = re.fullmatch(r"([KMGT])b(?:it)?(?:ps|/s(?:ec)?)", compact)
    if bits:
        return "bytes/s", _DECIMAL[bits[1].lower()] / 8, _DECIMAL[bits[1].lower()] / 8
    size = re.fullmatch(r"([KMGTk])(i?)B", compact)
    if size:
        prefix = size[1].lower()
        return "bytes", _BINARY[prefix] if size[2] else _DECIMAL[prefix], _BINARY[prefix]
    families: tuple[tuple[str, str, float], ...] = (
        (r"bytes?", "bytes", 1),
        (r"milliseconds?|ms", "ms", 1),
        (r"microseconds?|[µμu]s", "ms", 1e-3),
        (r"seconds?|secs?|s", "ms", 1e3),
        (r"minutes?|min", "ms", 6e4),
        (r"hours?|h", "ms", 3.6e6),
        (r"%|percent", "%", 1),
        (r"(?:output|generated|decode)?(?:tokens?|tok)(?:/|per)s(?:ec(?:ond)?)?", "tokens/s", 1),
        (r"(?:requests?|reqs?|queries)(?:/|per)s(?:ec(?:ond)?)?|rps|qps", "requests/s", 1),
        (r"billion|bn|b", "", 1e9),
        (r"million|m", "", 1e6),
        (r"trillion", "", 1e12),
        (r"thousand|k", "", 1e3),
    )
    for pattern, dimension, factor in families:
        if re.fullmatch(pattern, low):
            return dimension, factor, factor
    return "", 1, 1


def gb(value: float) -> str:
    """Bytes as people compare them with a datasheet: ``17.6 GB``; small ones in KiB or bytes."""
    if abs(value) >= 1e8:
        return f"{value / GB:,.1f} GB"
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.1f} MB"
    return f"{value / 1024:,.0f} KiB" if value >= 1024 else f"{value:,.0f} bytes"


def plain_number(value: float) -> str:
    """A number without needless digits: ``6.25``, ``1,524``, ``20``."""
    if value != value or abs(value) == float("inf"):
        return str(value)
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.4g}"
