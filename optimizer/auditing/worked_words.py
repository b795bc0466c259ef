"""Judges products that a sentence tells in words: ``400 tokens at 10 ms each take 4 s``, ``3,600 requests produce 648,000 tokens``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

NEAR = 0.03
_TOKENS = re.compile(
    r"[\s-]{1,2}(?:(?:output|generated|more|input|prompt|weitere|erzeugte|autres)\s)?(?:tokens?|Tokens?|jetons?)\b"
    r"(?!\s?(?:/|per s|a second|each second|pro S|je S|in der S|par s))"
)
_EACH_TOKEN = re.compile(
    r"\s(?:per|a|for each|for every|pro|je|für jedes|par|chacun|each|apiece|jeweils)(?:\s(?:\w+\s)?(?:tokens?|Tokens?|jetons?)\b|\W|$)"
)
_LASTS = re.compile(
    r"\b(?:takes?|needs?|lasts?|streams? in"
    r"|is (?:there|out|done|finished)|are|makes?|adds? up to|comes? to|dauert|dauern|braucht|brauchen|ergibt"
    r"|ergeben|sind|prend|prennent|dure|durent|demande\w*|font|fait|soit)\b",
    re.IGNORECASE,
)
_OTHER_TIME = re.compile(
    r"\b(?:first token|TTFT|prefill|prompt|queue"
    r"|limit|target|wait\w*|erste\w* Token|Grenze|Prefill|premier jeton|limite|attente|saves?|longer"
    r"|faster|slower|more than|less than|between|P50|median)\b",
    re.IGNORECASE,
)
_PRODUCES = re.compile(
    r"\b(?:produces?|generates?|writes?|emits?|yields?|erzeugen|erzeugt|schreiben|liefern|produisent|génèrent|écrivent|donnent)\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\s(?!tokens?\b|jetons?\b|GPUs?\b|cards?\b|Karten?\b|cartes?\b|users?\b|replicas?\b)[^\W\d]{4,}(?:s|n|e|er)?\s",
    re.IGNORECASE,
)


def judge_worked_words(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """Time of so many tokens, and tokens of so many requests."""
    if any(sentence.has(kind) for kind in ("past", "hypothetical", "negation", "at_most")) or sentence.models:
        return
    if re.search(r"[×÷=*]", sentence.text):
        return  # written out: others judge it
    yield from _time(sentence)
    yield from _tokens(sentence, own)


def _time(sentence: Sentence) -> Iterator[Claim]:
    tokens = [m for m in sentence.measures if not m.dimension and m.value > 1 and _TOKENS.match(sentence.text[m.end :])]
    times = [m for m in sentence.measures if m.dimension == "ms"]
    each = [m for m in times if _EACH_TOKEN.match(sentence.text[m.end :])]
    rest = [m for m in times if m not in each]
    if len(tokens) != 1 or len(each) != 1 or len(rest) != 1 or _OTHER_TIME.search(sentence.text):
        return
    if not _LASTS.search(sentence.text) or not each[0].value or not _LASTS.search(sentence.text[: rest[0].start]):
        return
    value = tokens[0].value * each[0].value
    loose = 0.15 if each[0].hedged or rest[0].hedged or tokens[0].hedged else NEAR
    right = rest[0].near(value, loose) or rest[0].says(value, NEAR) or rest[0].says(value - each[0].value, NEAR)
    how = f"{tokens[0].text} × {each[0].text} is {shown(value, 'ms')}"
    yield _claim(sentence, rest[0], right, how, shown(value, "ms"), "time of so many tokens")


def _tokens(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """Answers are of the output's length where they are produced."""
    produced = _PRODUCES.search(sentence.text)
    if produced is None or len(sentence.measures) > 3 or not own.own_model:
        return
    count = [
        m for m in sentence.measures
        if m.end <= produced.start() and not m.dimension and not m.word and m.value >= 2 and _COUNTED.match(sentence.text[m.end :])
    ]  # fmt: skip
    totals = [
        m
        for m in sentence.measures
        if m.start >= produced.end() and not m.dimension and m.value >= 1000 and _TOKENS.match(sentence.text[m.end :])
    ]
    if len(count) != 1 or len(totals) != 1:
        return
    each = own.values["output"]
    value, total = count[0].value * each, totals[0]
    others = [count[0].value * own.values["prompt"], count[0].value * (own.values["prompt"] + each)]
    right = total.says(value, NEAR)
    if right or (not (total.hedged or any(total.says(one, NEAR) for one in others)) and 0.2 < total.value / value < 5):
        how = f"{count[0].text} × {each:,.0f} tokens of output is {value:,.0f}"
        yield _claim(sentence, total, right, how, f"{value:,.0f}", "tokens of so many requests")


def _claim(sentence: Sentence, measure: Measure, right: bool, reason: str, expected: str, quantity: str) -> Claim:
    reason += "." if right else f", not {measure.text}."
    return figure_claim(sentence, verdict_of(right), reason, measure, expected, quantity)
