"""Judges a sum behind its parts: ``hall 1 costs 20.80 an hour, hall 2 18.00, together 38.80``; ``2.4 kW and 3.6 kW make 6 kW``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.figure_roles import is_operand
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_TOGETHER = re.compile(
    r"\b(?:together|in total|in all|altogether|all told|zusammen|insgesamt|gemeinsam|ensemble|au total|en tout)\b"
    r"(?:\s(?:that\s)?(?:is|are|makes?|they (?:make|cost|draw|take)|comes? to|also|sind(?: es)?|macht|das|cela fait|font|soit))?"
    r"\s?(?:[:=]\s?)?(?:USD|EUR|€|\$|£)?\s?$",
    re.IGNORECASE,
)
"""Right before the sum."""
_EACH = re.compile(
    r"\b(?:each|every|apiece|per (?:GPU|card|node|server|replica)|je(?:weils)?|pro|chacune?|chaque|par (?:carte|GPU))\b",
    re.IGNORECASE,
)
"""A part that there is several times."""
NEAR = 0.012


def judge_added_up(sentence: Sentence) -> Iterator[Claim]:
    """One claim for a sum of money, power or requests whose two or more parts stand before it in the sentence."""
    if any(sentence.has(kind) for kind in ("hypothetical", "past", "negation")) or sentence.statement.kind == "row":
        return
    stated = [m for m in sentence.measures if not is_operand(sentence.text, m) and not m.word]
    for place, whole in enumerate(stated):
        joined = _TOGETHER.search(sentence.text[: whole.start])
        parts = [m for m in stated[:place] if _same_kind(m, whole, stated)]
        if joined is None or len(parts) < 2 or _EACH.search(sentence.text[parts[0].start : whole.end + 12]):
            continue
        if any(m not in parts for m in stated[:place] if m.dimension or "." in m.number):
            return  # "hall 2" counts nothing, any other figure may be of something else
        total = sum(m.value for m in parts)
        right = abs(whole.value - total) <= NEAR * total
        if not right and (len(parts) != 2 or whole.hedged):
            return
        written = " + ".join(m.text for m in parts)
        reason = f"{written} = {total:,.6g}" + ("." if right else f", not {whole.text}.")
        yield figure_claim(sentence, verdict_of(right), reason, whole, f"{total:,.6g}", "sum")
        return


def _same_kind(part: Measure, whole: Measure, stated: list[Measure]) -> bool:
    """Whether figures may be added: of one unit, or with cents of money where one of them is said to be money."""
    if part.dimension in ("W", "requests/s"):
        return part.dimension == whole.dimension and part.unit == whole.unit
    money = any(m.dimension == "money/h" for m in stated)
    cents = all(re.fullmatch(r"\d[\d\s.,]*[.,]\d\d", m.number) for m in (part, whole))
    plain = all(m.dimension == "" or (m.dimension == "money/h" and m.value == _digits(m)) for m in (part, whole))
    return money and cents and plain and not (part.unit and not part.unit.startswith("money"))


def _digits(measure: Measure) -> float:
    return float(re.sub(r"[\s,]", "", measure.number)) if "." in measure.number else measure.value
