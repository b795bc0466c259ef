"""Judges downtime beside availability: ``99.9 % allows 8.76 hours a year``, ``three nines are 43 minutes a month``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.measures import PERIODS, Measure
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_ABOUT = re.compile(
    r"\b(?:availab\w+|uptime|downtime|outages?|unavailab\w+|nines|\w*[Vv]erfügbar\w*|Ausfall\w*|Neunen|disponib\w+|indisponib\w+"
    r"|interruptions?|panne|arrêt|neufs?)\b"
)
_OTHER = re.compile(
    r"\b(?:GPUs?|cards?|nodes?|servers?|requests?|maintenance|wartung|fails?|failures?|crash\w*|mean time|MTB\w|MTTR|measured"
    r"|gemessen|mesuré\w*)\b",
    re.IGNORECASE,
)
_NINES = re.compile(
    r"\b(?P<count>two|three|four|five|zwei|drei|vier|fünf|deux|trois|quatre|cinq)\s(?:nines|Neunen|neufs?)\b",
    re.IGNORECASE,
)
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "deux": 2, "trois": 3, "quatre": 4,
           "cinq": 5}  # fmt: skip
_PERIOD = re.compile(
    r"\b(?P<period>year|month|week|day|Jahr|Monat|Woche|Tag|(?<=par )an|année|mois|semaine|jour|yearly|annual(?:ly)?|monthly|weekly|daily"
    r"|jährlich|monatlich|wöchentlich|täglich)\w{0,2}\b",
    re.IGNORECASE,
)
_NAMES = {
    "yearly": "year", "annual": "year", "annually": "year", "monthly": "month", "weekly": "week", "daily": "day", "jährlich": "jahr",
    "monatlich": "monat", "wöchentlich": "woche", "täglich": "tag",
}  # fmt: skip
NEAR = 0.03
"""Relative: minutes of downtime are rounded freely."""


def judge_availability(sentence: Sentence) -> Iterator[Claim]:
    """The time that a share of availability leaves in the period of the sentence."""
    if not _ABOUT.search(sentence.text) or _OTHER.search(sentence.text):
        return
    shares = [m.value / 100 for m in sentence.measures if m.dimension == "%" and 50 < m.value < 100]
    shares += [1 - 10.0 ** -_COUNTS[m["count"].lower()] for m in _NINES.finditer(sentence.text)]
    times = [m for m in sentence.measures if m.dimension == "ms"]
    lasting, periods = _lasting(sentence, times)
    if len(set(shares)) != 1 or len(lasting) != 1 or not periods:
        return
    share, down = shares[0], lasting[0]
    expected = [(1 - share) * period for period in periods]
    right = any(down.says(value * 1e3, NEAR) for value in expected)
    if not right and (
        (down.hedged and any(abs(down.value / value / 1e3 - 1) < 0.25 for value in expected))
        or sentence.has("negation")
        or sentence.has("at_least")
        or sentence.has("at_most")
    ):
        return
    reason = f"{1 - share:.4%} of {periods[0] / 3600:,.0f} hours is {_spoken(expected[0])}"
    said = reason + ("." if right else f", not {down.text}.")
    yield figure_claim(sentence, verdict_of(right), said, down, _spoken(expected[0]), "downtime")


def _lasting(sentence: Sentence, times: list[Measure]) -> tuple[list[Measure], tuple[float, ...]]:
    """The downtime, and the seconds that the period may have: "30 days" beside it says how long a month is."""
    named = {m["period"].lower() for m in _PERIOD.finditer(sentence.text)}
    named = {_NAMES.get(name, name) for name in named}
    spans = [m for m in times if m.value >= 7 * 8.64e7 * 0.99]
    if len(spans) == 1 and len(times) == 2:
        return [m for m in times if m not in spans], (spans[0].value / 1e3,)
    known = [PERIODS[name] for name in named if name in PERIODS]
    return times, known[0] if len(known) == 1 else ()


def _spoken(seconds: float) -> str:
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:,.3g} hours"
    return f"{seconds / 60:,.3g} minutes" if seconds >= 120 else f"{seconds:,.3g} seconds"
