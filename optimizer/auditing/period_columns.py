"""Judges table rows whose columns are periods: ``per hour | per day | per 30 days`` have to agree with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import claim
from optimizer.auditing.measures import PERIODS, measures
from optimizer.auditing.number_words import NUMBER_WORDS
from optimizer.auditing.reading import Statement
from optimizer.results.audit import Claim

_PERIOD = re.compile(
    r"^(?:[^|]*?[\s(])?(?:per|a|an|each|pro|je|par|/)\s?(?P<n>\d{1,3}\s)?"
    r"(?P<period>second|minute|hour|day|week|month|year|Sekunde|Stunde|Tag|Woche|Monat|Jahr|seconde|heure|jour|semaine|mois|an)s?e?n?\)?$",
    re.IGNORECASE,
)
_NEAR = 0.006


def judge_period_columns(statement: Statement, context: Context) -> Iterator[Claim]:
    """Each figure of a row against the one of its first period."""
    if statement.kind != "row" or len(statement.cells) != len(statement.header):
        return
    found: list[tuple[float, tuple[float, ...], str]] = []
    for title, cell in zip(statement.header, statement.cells, strict=True):
        period = _PERIOD.match(title.strip())
        figures = measures(cell, context.language(statement)) if period else []
        if period and len(figures) == 1 and period["period"].lower() in PERIODS:
            times = float(NUMBER_WORDS.get((period["n"] or "").strip(), 0) or (period["n"] or 1))
            found.append(
                (figures[0].values[0], tuple(times * one for one in PERIODS[period["period"].lower()]), figures[0].text)
            )
    if len(found) < 2:
        return
    base, seconds, first = found[0]
    for value, periods, text in found[1:]:
        expected = [base / one * other for one in seconds for other in periods]
        near = min(expected, key=lambda one: abs(one - value))
        step = 0.5 * 10.0 ** -len(first.partition(".")[2]) / base if base else 0.0
        if not near or abs(value - near) <= max(_NEAR, step) * near:
            yield claim(statement, "confirmed", f"{text} follows from {first}.", text, None)
        else:
            yield claim(
                statement, "refuted", f"{first} comes to {near:,.4g} in that time, not {text}.", text, f"{near:,.4g}"
            )
