"""Percentiles listed beside their figures: ``P50/P95/P99 of 0.9/2.2/1.8 s``, ``2.0 / 4.4 / 4.1 s (P50, P95, P99)``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from optimizer.auditing.labels import claim
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_JOIN = r"\s?(?:/|,|\||;|–|-)\s?"
_MARK = r"(?:[Pp]\s?\d{2}(?:[.,]\d)?|median|Median|médiane|mean|avg)"
_NUMBER = r"\d+(?:[.,]\d+)?"
_MARKS = re.compile(rf"\b{_MARK}(?:{_JOIN}{_MARK})+(?![\d/])")
_LISTED = re.compile(
    rf"(?<![\w.,/]){_NUMBER}(?:(?:\s?/\s?|\s?\|\s?|,\s|\s[–-]\s){_NUMBER}){{1,4}}(?=\s?(?:ms|milliseconds?|s|seconds?|sec|Sekunden?|secondes?)\b)"
)


def percentile_lists(sentence: Sentence) -> Iterator[Claim]:
    """Whether listed figures rise with the percentiles listed beside them; lists of unequal length say nothing."""
    text = sentence.text
    marks, listed = _MARKS.findall(text), _LISTED.findall(text)
    if len(marks) != 1 or len(listed) != 1 or sentence.has("negation"):
        return
    ranks = [_rank(one) for one in re.findall(_MARK, marks[0])]
    values = [float(one.replace(",", ".")) for one in re.findall(_NUMBER, listed[0])]
    if len(ranks) != len(values) or None in ranks:
        return
    pairs = sorted(zip((rank for rank in ranks if rank is not None), values, strict=True))
    for (low, a), (high, b) in pairwise(pairs):
        if low < high and a > b:
            reason = f"P{low:g} is {a:g}, P{high:g} is {b:g}: a higher percentile cannot be lower."
            yield claim(sentence.statement, "refuted", reason, f"{b:g}", f"at least {a:g}")
            return
    yield claim(sentence.statement, "confirmed", "The percentiles rise in their order.", listed[0])


def _rank(mark: str) -> float | None:
    """The percentile that a mark names; a mean has no place among them."""
    digits = re.search(r"\d+(?:[.,]\d)?", mark)
    if digits:
        return float(digits[0].replace(",", "."))
    return 50.0 if mark.lower() in ("median", "médiane") else None
