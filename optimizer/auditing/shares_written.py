"""Shares of a size written out in words: ``88 % of an 80 GB card is 70.4 GB``, ``three quarters of 80 GB are 60 GB``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.measures import shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_FRACTIONS = {
    "half": 0.5, "a half": 0.5, "a third": 1 / 3, "one third": 1 / 3, "two thirds": 2 / 3, "a quarter": 0.25, "one quarter": 0.25,
    "three quarters": 0.75, "die hälfte": 0.5, "ein drittel": 1 / 3, "zwei drittel": 2 / 3, "ein viertel": 0.25,
    "drei viertel": 0.75, "la moitié": 0.5, "un tiers": 1 / 3, "deux tiers": 2 / 3, "un quart": 0.25, "trois quarts": 0.75,
}  # fmt: skip
_FRACTION = re.compile(
    rf"\b(?P<fraction>{'|'.join(sorted(_FRACTIONS, key=len, reverse=True))})\s(?:of|von|der|des|de)\s(?:an? |the |its |einer |les )?$",
    re.IGNORECASE,
)
_PERCENT_OF = re.compile(
    r"\s(?:of|von|der|des|de)\s(?:an? |the |its |each |every |einer |eine |den |une |les |ses )?$", re.IGNORECASE
)
_IS = re.compile(
    r"(?:[\s-](?:card|GPU|Karte|carte|HBM|memory|VRAM))?\s?(?:=|≈|→|\b(?:is|are|makes?|gives?|comes? to|amounts? to|ist|sind|macht"
    r"|ergibt|ergeben|font|fait|soit|donnent?))\s?(?:about |roughly |some |rund |etwa |environ )?$",
    re.IGNORECASE,
)


def shares_written(sentence: Sentence) -> Iterator[Claim]:
    """Whether a share of a stated size is what is said of it."""
    text = sentence.text
    if sentence.has("negation"):
        return
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    for whole, part in pairwise(sizes):
        if not _IS.fullmatch(text[whole.end : part.start]):
            continue
        words = _FRACTION.search(text[: whole.start])
        shares = [m for m in sentence.measures if m.dimension == "%" and m.end <= whole.start]
        if words:
            share, name = _FRACTIONS[words["fraction"].lower()], words["fraction"]
        elif shares and _PERCENT_OF.fullmatch(text[shares[-1].end : whole.start]):
            share, name = shares[-1].value / 100, shares[-1].text
        else:
            continue
        value = share * whole.value
        right = part.says(value, 0.01)
        if right or not part.hedged:
            reason = f"{name} of {whole.text.strip()} is {shown(value, 'bytes')}" + (
                "." if right else f", not {part.text}."
            )
            yield figure_claim(sentence, verdict_of(right), reason, part, shown(value, "bytes"), "share")
