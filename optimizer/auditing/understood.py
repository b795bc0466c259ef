"""The second chance of a figure that nothing explains: it is wrong only in a sentence of which every word is known."""

from __future__ import annotations

import re

from optimizer.auditing.candidates import BY_UNIT, FAIR, LEAVES_WITH, FigureReading
from optimizer.auditing.context import OTHER_NETWORK
from optimizer.auditing.coverage import CAPACITY, explained, unknown_words
from optimizer.auditing.ledger import Reading, gpu_counts
from optimizer.auditing.measures import Measure
from optimizer.auditing.refutable import (
    POSSESSION,
    POSSIBLE,
    after_weights,
    coordinated,
    depends_on_strategy,
    is_money,
    parts_known,
    relation_of,
)
from optimizer.auditing.scopes import Scope
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About

_DEMANDED = re.compile(
    r"\W*(?:we|the service|it|wir|der Dienst|nous|le service|il|on)?\s?(?:must|have to|has to|need to|needs to|muss|müssen|doit"
    r"|devons|faut)\b",
    re.IGNORECASE,
)
"""``We must emit 600 tokens/s``: what is asked for, and no capacity."""


def understood(
    sentence: Sentence, measure: Measure, candidate: FigureReading, meant: About, scope: Scope, found: list[Reading]
) -> bool:
    """Whether a figure that no reading explains stands in a sentence of which every word is known."""
    quantity, term, text = candidate.quantity, candidate.term, sentence.text
    rivals = [m for m in sentence.measures if m is not measure and m.dimension == measure.dimension]
    if term is None:
        if quantity.id not in BY_UNIT or candidate.strength < FAIR or measure.value < quantity.least:
            return False
        if quantity.unit == "bytes" and re.search(r"[×÷]|\d\s?[x*]\s?\d", text):
            return False  # a line of arithmetic: its result is of whatever it computes
        if rivals and quantity.id not in ("price", "request_rate", "weights_in_format"):
            return False
    else:
        gap = text[min(term.end, measure.end) : max(term.start, measure.start)]
        if (quantity.id != "price" and re.search(r"[,;]" if measure.dimension == "%" else r"[,;()]", gap)) or (
            quantity.id != "price" and any(abs(m.start - term.start) < abs(measure.start - term.start) for m in rivals)
        ):
            return False
    if term is not None and coordinated(sentence, term, measure):
        return False
    if not sentence.firm or quantity.by_title or quantity.id in _UNSURE or not is_money(sentence, quantity):
        return False
    if relation_of(sentence, measure) == "=" and re.search(
        r"\b(?:of|der|des|sur|von|de|above|over|below|than|als|que)\s+(?:the\s|its\s|les\s|den\s|its\s|ihrer\s|ses\s)?$",
        text[: measure.start],
    ):
        return False
    if sentence.has("past") or sentence.denies(measure) or OTHER_NETWORK.search(text):
        return False
    if re.match(r"\s(?:GPUs?|cards?|accelerators?|devices?|nodes?|Karten?|cartes?)\b", text[measure.end :]):
        return False  # "on 80 GB cards": what kind of card
    halves = quantity.id == "weights_in_format" and bool(sentence.strategies)
    leaves = bool(LEAVES_WITH.search(text[: measure.start]))
    span = sentence.clause(measure.start)
    inside = sentence.terms_in(*span) if text[span[0] : span[0] + 1] == "(" else sentence.terms
    others = [
        t
        for t in inside
        if t.id("other")
        and not (halves and _PART.fullmatch(t.text))
        and not (leaves and "memory_left" in t.ids("quantity"))
    ]
    if others and quantity.id != "memory_left":
        return False
    elsewhere = sentence.has("hypothetical") and not all(one.own_hardware for one in meant.situations)
    if (_IF.search(text) or elsewhere) and not meant.named_strategy and depends_on_strategy(quantity):
        return False
    if measure.high > measure.value or (not measure.dimension and (measure.word or quantity.loose)):
        return False
    if quantity.unit in ("tokens/s", "requests/s") and (
        (POSSIBLE.search(text) and not _DEMANDED.match(text))
        or (rivals and not re.search(r"day|hour|month|tag|stunde|monat|jour|heure|mois", measure.unit, re.IGNORECASE))
        or (CAPACITY.search(text) and not _DEMANDED.match(text))
        or any(m.dimension in ("ms", "bytes") for m in sentence.measures)
    ):
        return False
    if quantity.possessed and not (scope.total or POSSESSION.search(text[: measure.start + 1])):
        return False
    if quantity.id == "memory_left" and (
        not after_weights(sentence, measure, found)
        or not parts_known(rivals, meant)
        or any(m.dimension == "%" for m in sentence.measures)
    ):
        return False
    if quantity.unit == "%" and (sentence.gpus or "gpu" in scope.ids) and list(gpu_counts(sentence, measure)):
        return False
    if quantity.only_with and not (scope.ids & set(quantity.only_with) or found[0].condition):
        return False
    if sentence.has("target") and quantity.unit in ("", "%"):
        return False
    if quantity.unit == "" and measure.unit and measure.value < 1e3 and not quantity.near:
        return False
    allowed = 1 if candidate.strength >= FAIR and sentence.language != "de" else 0
    return len(unknown_words(sentence)) <= allowed and not explained(sentence, measure)


_IF = re.compile(
    r"\b(?:if|had (?:we|it)|were (?:we|it|one)|suppose|assuming|wenn|falls|hätten?|angenommen|si|supposons)\b",
    re.IGNORECASE,
)

_UNSURE = frozenset(
    {
        "head_dim_said",
        "hidden_state_bytes",
        "request_tokens",
        "gpu_share",
        "blocks",
        "gpus",
        "nodes",
        "replicas",
        "stages",
    }
)

_PART = re.compile(
    r"half|third|quarter|twice|double|halves|Hälfte|Viertel|Drittel|doppelt\w*|moitié|quart|tiers", re.IGNORECASE
)
