"""Judges what a time per token and a rate say of each other: ``60 ms, i.e. 16.7 tokens/s for each user``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed, Verdict

_EACH = re.compile(
    r"\b(?:(?:per|each|every|a|one|single|pro|je|jede[rn]?|par|chaque)\s(?:user|stream|request|sequence|client|session"
    r"|conversation|reader|Nutzer"
    r"|Anwender|Anfrage|Sequenz|utilisateur|requête|flux|séquence))\b",
    re.IGNORECASE,
)
_SAME = re.compile(
    r"=|→|->|\b(?:i\.\s?e\.|that is|equals|means|corresponds? to|equivalent|entspricht|entsprechen|also|d\. ?h\.|soit|équivaut|correspond)",
    re.IGNORECASE,
)
_MANY = re.compile(
    r"\b(?:batch|sequences|concurrent\w*|in flight|slots|users|Sequenzen|gleichzeitig\w*|Nutzern|séquences|lot|utilisateurs)\b",
    re.IGNORECASE,
)


def judge_rates(sentence: Sentence) -> Iterator[Claim]:
    """One time and one rate of a single stream."""
    times = [m for m in sentence.measures if m.dimension == "ms"]
    rates = [m for m in sentence.measures if m.dimension == "tokens/s"]
    if len(times) != 1 or len(rates) != 1 or not 1 <= times[0].value <= 2000 or _MANY.search(sentence.text):
        return
    first, second = sorted((times[0], rates[0]), key=lambda one: one.start)
    if not _EACH.search(sentence.text) or not _SAME.search(sentence.text[first.end : second.start]):
        return
    if len(sentence.measures) != 2 or sentence.has("negation"):
        return
    right = 1e3 / times[0].value
    holds = rates[0].says(right, 0.02) or times[0].says(1e3 / rates[0].value, 0.02)
    verdict: Verdict = "confirmed" if holds else "refuted"
    reason = f"A token every {times[0].text} is {shown(right, 'tokens/s')}" + (
        "." if holds else f", not {rates[0].text}."
    )
    yield Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, rates[0].text, shown(right, "tokens/s"),
        Parsed(times[0].text, "rate of one stream", rates[0].value, "tokens/s", "="),
    )  # fmt: skip
