"""Judges sizes beside each other: what goes into what, what is left, what cards have together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim
from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_GOES_INTO = re.compile(
    r"\b(?:fits?|goes?|go|passt|passen|rentre\w*|tien\w+|loge\w*)\s(?:\w+\s)?(?:into|in|within|on|onto|auf|dans"
    r"|sur)\b[^,;]{0,24}$",
    re.IGNORECASE,
)


def goes_into(sentence: Sentence) -> Iterator[Claim]:
    """``70 GB of weights, which still goes into 94 GB``: a size said to fit into another one."""
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(sizes) != 2 or any(not m.dimension and m.start > sizes[0].end for m in sentence.measures):
        return
    first, second = sizes
    gap = sentence.text[first.end : second.start]
    if not _GOES_INTO.search(gap) or re.search(r"\b(?:but|and|aber|und|mais|et|only|nur)\b|;", gap):
        return
    denied = sentence.has("negation", first.end, second.start)
    holds = min(first.values) <= max(second.values) * 1.07
    if holds and denied and first.value > 0.8 * second.value:
        return
    reason = f"{first.text} is {'not ' if not holds else ''}within {second.text}"
    yield figure_claim(
        sentence,
        "confirmed" if holds != denied else "refuted",
        reason + ".",
        first,
        None,
        "comparison",
        ">" if denied else "≤",
    )


_REMAIN = re.compile(
    r"\b(?:remains?|left|leaves?|free|bleib\w*|übrig|verbleib\w*|frei|reste\w*|laisse\w*|libres?)\b", re.IGNORECASE
)

_AFTER_WEIGHTS = re.compile(
    r"\b(?:after|once|behind|besides|beside|without|nach|neben|abzüglich|après|une fois)\b[^,;]*\b(?:weights?|model|Gewichten?"
    r"|Modell|poids|modèle)\b"
    r"|\b(?:if|when|wenn|sobald|quand)\b[^,;]*\b(?:weights?|model|Gewichte|Modell|poids|modèle)\b[^,;]*\b(?:loaded|geladen|chargée?s?)\b",
    re.IGNORECASE,
)


def left_of(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``Of 72 GB that may be used on a card, 36.7 GB remain``: a whole that the sentence states, less the weights."""
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(sizes) == 3 and _REMAIN.search(sentence.text) and not sentence.has("hypothetical"):
        yield from _less(sentence, sizes, own)
        return
    if len(sizes) != 2 or not _REMAIN.search(sentence.text) or own.degrees is None:
        return
    if sentence.has("hypothetical") and not _AFTER_WEIGHTS.search(sentence.text):
        return
    whole, rest = sizes
    lead = sentence.text[: whole.start]
    if (
        not re.search(r"\b(?:of|out of|from|von|vom|aus|de|sur|des)\s(?:\w+\s){0,4}$", lead, re.IGNORECASE)
        or whole.value <= rest.value
    ):
        return
    known = own.values
    budgets = [known["utilization"] * known[name] for name in ("memory", "nominal_memory") if "utilization" in known]
    if not any(whole.says(value, 0.01) for value in (*budgets, known["memory"], known["nominal_memory"])):
        return
    value = whole.value - known["weights_gpu"]
    if rest.near(value, 0.03):
        yield figure_claim(sentence, "confirmed", f"{whole.text} less {shown(known['weights_gpu'], 'bytes')} of weights is"
            f" {shown(value, 'bytes')}.",
                     rest, shown(value, "bytes"), "left")  # fmt: skip
    elif not rest.hedged and (_AFTER_WEIGHTS.search(sentence.text) or rest.value > value) and value > 0:
        yield figure_claim(sentence, "refuted", f"{whole.text} less {shown(known['weights_gpu'], 'bytes')} of weights is"
            f" {shown(value, 'bytes')}, "
                     f"not {rest.text}.", rest, shown(value, "bytes"), "left")  # fmt: skip


def _less(sentence: Sentence, sizes: list[Measure], own: Situation) -> Iterator[Claim]:
    """``Of 80 GB the weights take 35 GB, which leaves 45 GB``: the whole, the weights of it and the rest, in any order."""
    known = own.values
    budgets = [
        known[name] * share for name in ("memory", "nominal_memory") for share in (1.0, known.get("utilization", 1.0))
    ]
    wholes = [m for m in sizes if any(m.says(value, 0.01) for value in budgets)]
    rests = [m for m in sizes if m not in wholes and _REST_BEFORE.search(sentence.text[: m.start])] or [
        m for m in sizes if m not in wholes and _REST_BEHIND.match(sentence.text[m.end :])
    ]
    parts = [m for m in sizes if m not in wholes and m not in rests]
    if len(wholes) != 1 or len(rests) != 1 or len(parts) != 1 or rests[0].hedged:
        return
    whole, rest, part = wholes[0], rests[0], parts[0]
    values = [a - b for a in whole.values for b in part.values]
    if any(rest.near(value, 0.03) for value in values):
        yield figure_claim(sentence, "confirmed", f"{whole.text} less {part.text} is {rest.text}.", rest, None, "left")
    elif whole.value > part.value:
        expected = shown(values[0], "bytes")
        yield figure_claim(
            sentence,
            "refuted",
            f"{whole.text} less {part.text} is {expected}, not {rest.text}.",
            rest,
            expected,
            "left",
        )


_REST_BEFORE = re.compile(
    r"\b(?:leav\w+|remains?|left|bleib\w*|verbleib\w*|übrig|reste\w*|laiss\w+)\b(?:\s\w+){0,2}\s(?:~|≈)?$",
    re.IGNORECASE,
)
_REST_BEHIND = re.compile(
    r"(?:\s(?:of (?:the|its) [\d.,]+ G\w+|per (?:card|GPU)|je Karte"
    r"|par carte))?(?:\s\w+){0,2}?\s(?:(?:are|is|sind|ist|sont|est)\s)?(?:left|remain\w*|free|frei|übrig"
    r"|libres?|restent)\b",
    re.IGNORECASE,
)


_CARDS_OF = re.compile(
    r"\s(?:GPUs|cards|accelerators|Karten|cartes)\s(?:of|with|mit|zu|à|de|at)\s(?:je\s)?$", re.IGNORECASE
)

_TOGETHER = re.compile(
    r"\b(?:in all|in total|together|altogether|give|make|gives|makes|ergeben|zusammen|insgesamt|font"
    r"|donnent|au total|is|are)\b",
    re.IGNORECASE,
)


def cards_together(sentence: Sentence) -> Iterator[Claim]:
    """``Two cards of 96 GB give us 192 GB in all``."""
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(counts) != 1 or len(sizes) != 2 or sentence.has("negation"):
        return
    count, (each, whole) = counts[0], sizes
    gap = sentence.text[each.end : whole.start]
    if not _CARDS_OF.fullmatch(sentence.text[count.end : each.start]) or not _TOGETHER.search(
        gap + sentence.text[whole.end :]
    ):
        return
    value = count.value * each.value
    holds = whole.says(value, 0.02)
    if not holds and re.search(r"\b(?:weights?|cache|left|free|of|Gewichte|poids)\b", sentence.text[each.end :]):
        return
    reason = f"{count.text} × {each.text} is {shown(value, 'bytes')}" + ("." if holds else f", not {whole.text}.")
    yield figure_claim(sentence, "confirmed" if holds else "refuted", reason, whole, shown(value, "bytes"), "product")
