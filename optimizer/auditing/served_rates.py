"""Judges the rate up to which all limits are said to hold, and whether what a failure leaves carries the whole load.

Both rest on the cost model's largest rate within all limits. A rate within 2 % of it is confirmed. It is refuted only where the model
is far from it: by a quarter for a rate that is stated, by 7 % where survivors are said to carry all that arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.failed import failure_of
from optimizer.auditing.measures import Measure
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

NEAR, FAR, SHORT = 0.02, 1.25, 0.93
_LIMITS = re.compile(
    r"\b(?:limits?|headroom|ceilings?|targets?|Grenz\w*|Grenzwert\w*|Vorgaben?|zulässig|Limits?|Ziele?|limites?|objectifs?|seuils?)\b",
    re.IGNORECASE,
)
_UP_TO = re.compile(
    r"(?:\b(?:up to|until|till|as far as|no more than|bis zu|bis|höchstens|jusqu'à|jusque|au plus)\s(?:about |around |roughly |etwa |rund "
    r"|environ )?|\b(?:more than|mehr als|über|plus de)\s|\b(?:keep|hold|halten|tiennent)\sup to\s)$",
    re.IGNORECASE,
)
_MORE = re.compile(r"\b(?:more than|mehr als|über|plus de)\s$", re.IGNORECASE)
_OTHERWISE = re.compile(
    r"\b(?:bursts?|peaks?|briefly|seconds?|minutes?|more|another|new|further|additional|larger|bigger|tests?|tested|measured|benchmark\w*"
    r"|Spitzen?|kurz\w*|Sekunden?|Minuten?|weitere\w*|neue\w*|größere\w*|gemessen\w*|Tests?|rafales?|pics?|pointes?|secondes?"
    r"|nouve\w+|supplémentaires?|mesurée?s?|essais?|each|je|chaque|chacune?)\b",
    re.IGNORECASE,
)
"""Words of another load, hardware or source than the prediction's: a higher rate may then be right."""
_LEFT = re.compile(
    r"\b(?:surviv\w+|remaining|what (?:is left|remains)|übrig\w*|verbleibend\w*|restlich\w*|restante?s?|survivant\w*)\b",
    re.IGNORECASE,
)
_CARRIES = re.compile(
    r"\b(?:meets?|keeps?|carr(?:y|ies)|holds?|serves?|handles?|hält|halten|trägt|tragen|bewältig\w+|schaff\w+|bedien\w+|tien(?:t|nent)"
    r"|respecte\w*|supporte\w*|assure\w*|absorbe\w*)\b",
    re.IGNORECASE,
)
_COUNT = re.compile(
    rf"\b(?P<n>\d{{1,3}}|{NUMBER_WORD})\s(?:\w+\s)?"
    r"(?:replicas?|instances?|Repli\w+|Instanzen|répliques?)\b",
    re.IGNORECASE,
)


LARGEST = "largest rate"
"""What a rate up to which all limits hold is called in a claim."""


def ceilings(sentence: Sentence) -> set[str]:
    """Rates that a sentence gives as the most within the limits, as written: none of them is what is asked for."""
    if not _LIMITS.search(sentence.text):
        return set()
    return {
        one.text
        for one in sentence.measures
        if one.dimension == "requests/s" and _UP_TO.search(sentence.text[: one.start])
    }


def judge_served_rates(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """One claim for a rate that is said to be the most, or to be carried by what a failure leaves."""
    rates = [m for m in sentence.measures if m.dimension == "requests/s"]
    own_words = not sentence.strategies and not sentence.models and not sentence.has("past")
    if (
        len(rates) != 1
        or not _LIMITS.search(sentence.text)
        or own.degrees is None
        or not own.own_hardware
        or not own_words
    ):
        return
    most = context.predicted.get("p_max_request_rate")
    if not most:
        return
    if _LEFT.search(sentence.text) and _CARRIES.search(sentence.text):
        yield from _survivors(sentence, rates[0], own, most)
    elif _UP_TO.search(sentence.text[: rates[0].start]):
        yield from _most(sentence, rates[0], most)


def _most(sentence: Sentence, rate: Measure, most: float) -> Iterator[Claim]:
    denied = sentence.has("negation")
    if denied != bool(_MORE.search(sentence.text[: rate.start])):
        return
    reason = f"All limits hold up to {most:.4g} requests/s as predicted"
    if rate.says(most, NEAR):
        yield figure_claim(sentence, "confirmed", reason + ".", rate, f"{most:.4g} requests/s", LARGEST, "≤")
    elif rate.value > FAR * most and not rate.hedged and not denied and not _is_otherwise(sentence):
        said = f"{reason}, not {rate.text}."
        yield figure_claim(sentence, "refuted", said, rate, f"{most:.4g} requests/s", LARGEST, "≤")


def _is_otherwise(sentence: Sentence) -> bool:
    """Whether it may be about another load, number format or machine; "requests per second" says none of it."""
    text = re.sub(r"\b(?:per|pro|par|je|a)\s(?:second|Sekunde|seconde)\b", "", sentence.text)
    named = bool(sentence.gpus) or any(t.id("precisions") for t in sentence.terms)
    return named or sentence.has("hypothetical") or bool(_OTHERWISE.search(text))


def _survivors(sentence: Sentence, rate: Measure, own: Situation, most: float) -> Iterator[Claim]:
    assert own.degrees is not None
    counted = _COUNT.search(sentence.text)
    failure = failure_of(sentence, own)
    left = failure.left if failure else None
    if left is None and counted:
        said = counted["n"].lower()
        left = count_of(said)
    if left is None or not 0 < left < own.degrees.dp or sentence.has("negation"):
        return
    if not rate.says(own.problem.workload.requests_per_s, 0.0):
        return
    carried = most * left / own.degrees.dp
    how = f"{left} of {own.degrees.dp} replicas carry {carried:.4g} requests/s within all limits as predicted"
    if carried >= rate.value:
        yield figure_claim(
            sentence, "confirmed", how + ".", rate, f"{carried:.4g} requests/s", "rate of what is left", "≤"
        )
    elif carried < SHORT * rate.value:
        yield figure_claim(
            sentence,
            "refuted",
            f"{how}, less than {rate.text}.",
            rate,
            f"{carried:.4g} requests/s",
            "rate of what is left",
            "≤",
        )
