"""Judges two shares of one whole: ``the first group gets 70 % of the requests, the second the remaining 30 %``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_REST = re.compile(
    r"\b(?:the (?:remaining|other)|die (?:übrigen|restlichen|verbleibenden|anderen)|den (?:übrigen|restlichen)"
    r"|les (?:autres|derniers))\s$|\b(?:the rest|der Rest|le reste),?\s(?:of\s|von\s|de\s|\()?$",
    re.IGNORECASE,
)
_BEHIND = re.compile(r"\s(?:restants?|restantes?)\b", re.IGNORECASE)
WIDE = 0.11
"""Percentage points by which two rounded shares may miss 100."""


def judge_remaining_shares(sentence: Sentence) -> Iterator[Claim]:
    """The share called what remains, against the one share before it."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    if len(shares) != 2 or sentence.has("hypothetical") or sentence.has("negation"):
        return
    first, second = shares
    if not (_REST.search(sentence.text[: second.start]) or _BEHIND.match(sentence.text[second.end :])):
        return
    right = abs(first.value + second.value - 100) <= WIDE
    reason = f"100 % less {first.text} are {100 - first.value:.4g} %" + ("." if right else f", not {second.text}.")
    yield figure_claim(sentence, verdict_of(right), reason, second, f"{100 - first.value:.4g} %", "rest of a whole")
