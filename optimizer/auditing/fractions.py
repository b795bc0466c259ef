"""Parts written as words, in three languages: ``half``, ``seven eighths``, ``drei Viertel``, ``les deux tiers``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.number_words import NUMBER_WORD, count_of

PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5, "fifths": 5,
    "sixth": 6, "sixths": 6, "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10, "twelfth": 12, "sixteenth": 16, "sixteenths": 16,
    "hälfte": 2, "drittel": 3, "viertel": 4, "fünftel": 5, "sechstel": 6, "achtel": 8, "zehntel": 10, "zwölftel": 12,
    "sechzehntel": 16, "moitié": 2, "tiers": 3, "quart": 4, "quarts": 4, "cinquième": 5, "cinquièmes": 5, "sixième": 6,
    "sixièmes": 6, "huitième": 8, "huitièmes": 8, "dixième": 10, "douzième": 12, "seizième": 16, "seizièmes": 16,
}  # fmt: skip
PART = "|".join(sorted(PARTS, key=len, reverse=True))
_FRACTION = re.compile(
    rf"\b(?:(?P<n>\d{{1,2}}|an?|one|die|einem?|ein|une?|la|le|les\s(?:deux|trois)|{NUMBER_WORD})[\s-])?(?P<part>{PART})\b(?!\s(?:layer|time|node|server"
    r"|replica|one)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fraction:
    """A part of a whole, with its place in the text."""

    start: int
    end: int
    value: float
    text: str


def fractions_in(text: str) -> Iterator[Fraction]:
    """Every fraction between 0 and 1; "a third replica" and "every sixth layer" are none."""
    for found in _FRACTION.finditer(text):
        number = count_of((found["n"] or "1").lower().split()[-1], 1)
        part = PARTS[found["part"].lower()]
        ordinal = part > 2 and found["n"] is None and not found["part"].lower().endswith(("tel", "s"))
        if 0 < number < part and not ordinal:
            yield Fraction(found.start(), found.end(), number / part, found.group())
