"""Judges the load of what is left when a part fails, and what one more replica takes: ``the two others get 3 requests/s each``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.coverage import CARRIES
from optimizer.auditing.facts import Situation
from optimizer.auditing.failed import failure_of
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_REMAINS = re.compile(
    r"\b(?:remain\w*|surviv\w+|left|still (?:run|there|serve)|others?|rest of|bleib\w*|verbleib\w*|übrig\w*|andere[nr]?|restlich\w*"
    r"|reste\w*|restantes?|autres?|survivant\w*)\b",
    re.IGNORECASE,
)
_ANOTHER = re.compile(
    r"\b(?:another|a (?:second|third|further|fifth)|one more|each (?:further|additional)|ein(?:e)? (?:weitere[sr]?|zweite[sr]?|dritte[sr]?)"
    r"|une (?:autre|deuxième|seconde|troisième))\s(?:replica|instance|copy|Replikat|Replik|Instanz|réplique)\b[^.;]*?"
    r"\b(?:needs?|requires?|takes?|costs?|braucht|bräuchte|benötigt|kostet|demande\w*|nécessite\w*|exige\w*)\b",
    re.IGNORECASE,
)
_GPUS = re.compile(
    r"\s(?:more\s|further\s|additional\s|weitere\s|other\s|autres\s)?(?:GPUs?|cards?|accelerators?|Karten?|cartes?)\b"
)


def judge_losses(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """The load of each replica after the loss of a node or a GPU of the report's own strategy, and what one more replica takes."""
    named = [mention for _, _, mention in sentence.strategies if set(mention.as_dict) - {"dp"}]
    if own.degrees is None or not own.own_hardware or named or sentence.models or sentence.has("past"):
        return
    yield from _another(sentence, own)
    failure = failure_of(sentence, own) if _REMAINS.search(sentence.text) else None
    if failure is None:
        return
    remaining = failure.left
    for measure in sentence.measures:
        if measure.dimension == "requests/s" and remaining:
            yield from _load(sentence, measure, own, remaining)


_EACH = re.compile(
    r"\b(?:each|every|per replica|the other (?:one|replica|instance)?|the remaining (?:one|replica|instance)\b|jede[rs]?|je"
    r"|chacune?|l'autre|die andere)\b",
    re.IGNORECASE,
)


def _load(sentence: Sentence, measure: Measure, own: Situation, remaining: int) -> Iterator[Claim]:
    rate = own.problem.workload.requests_per_s
    assert own.degrees is not None
    if (measure.says(rate) and remaining != 1) or not _EACH.search(sentence.text):
        return  # the demand itself
    right = measure.says(rate / remaining, 0.012)
    if not right and CARRIES.search(sentence.text):
        return  # what it could serve, and not what it gets
    if right or measure.says(rate, 0.012) or not measure.hedged:
        how = f"{rate:g} requests/s over {remaining} replica{'s' if remaining > 1 else ''} are {rate / remaining:.4g} each"
        yield _say(sentence, measure, right, how, f"{rate / remaining:.4g} requests/s", "requests/s per replica left")


def _another(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    found = _ANOTHER.search(sentence.text)
    degrees = own.degrees
    assert degrees is not None
    if not found or sentence.gpus:
        return
    counts = [
        m
        for m in sentence.measures
        if m.start >= found.end() and not m.dimension and _GPUS.match(sentence.text[m.end :])
    ]
    if len(counts) != 1 or len(sentence.measures) > 2:
        return
    right = degrees.tp * degrees.pp
    more = re.match(r"\s(?:more|further|additional|weitere|other|autres)\b", sentence.text[counts[0].end :])
    if not more and counts[0].value == degrees.gpus + right:
        return  # what all replicas take together
    yield _say(
        sentence,
        counts[0],
        counts[0].value == right,
        f"a replica of {degrees.label} takes {right} GPUs",
        f"{right}",
        "GPUs of a replica",
    )


def _say(sentence: Sentence, measure: Measure, right: bool, reason: str, expected: str, quantity: str) -> Claim:
    said = reason[:1].upper() + reason[1:] + ("." if right else f", not {measure.text}.")
    return figure_claim(sentence, verdict_of(right), said, measure, expected, quantity)
