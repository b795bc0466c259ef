"""Judges how many requests are worked on at once by how long one takes (Little's law), and what parts have together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.figure_roles import is_part_of_count
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

NEAR, FAR = 0.07, 0.25
"""Relative: such counts are rounded; they are called wrong only where they are far off."""
_RUNNING = re.compile(
    r"\b(?:in progress|in flight|being (?:worked on|served|processed)|at any (?:moment|time|instant)|at once|at the same time|concurrent\w*"
    r"|simultaneous\w*|open|gleichzeitig|zugleich|in Arbeit|in Bearbeitung|unterwegs|parallel|en cours|à la fois|simultané\w*"
    r"|en même temps)\b",
    re.IGNORECASE,
)
_LASTS = re.compile(
    r"\b(?:requests?|answers?|calls?|Anfragen?|Antwort|requêtes?|réponse)\b[^.;]{0,40}\b(?:takes?|lasts?|needs?|stays?"
    r"|is (?:finished|done)|dauert"
    r"|dauern|braucht|bleibt|dure\w*|prend|reste)\b|\b(?:end[- ]to[- ]end|from start to (?:end|finish)|in all)\b",
    re.IGNORECASE,
)
_BESIDES = re.compile(
    r"\b(?:night|only|may|can|could|at most|up to|limit\w*|slots?|peaks?|tests?|tested|nachts|nur|höchstens|darf|dürfen|kann|können|nuit"
    r"|seulement|au plus|peuvent|peut)\b",
    re.IGNORECASE,
)
"""Another load, or what is allowed: no product of the demand."""
_REPLICA = re.compile(r"\b(?:replica|instance|engine|copy|Replikat|Instanz|réplique)\b", re.IGNORECASE)


def judge_in_progress(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``A request takes 11 s, so 55 are in progress``: rate × time, where the sentence gives the time alone."""
    times = [m for m in sentence.measures if m.dimension == "ms" and m.value >= 200]
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    if len(times) != 1 or len(counts) != 1 or len(sentence.measures) != 2 or not _LASTS.search(sentence.text):
        return
    if not _RUNNING.search(sentence.text) or not own.own_model or any(sentence.has(k) for k in ("past", "negation")):
        return
    rate, replicas = own.problem.workload.requests_per_s, own.degrees.dp if own.degrees else 1
    parts = [1, replicas] if _REPLICA.search(sentence.text) else [1]
    expected = [rate * times[0].value / 1e3 / part for part in parts]
    count = counts[0]
    right = any(abs(count.value - one) <= max(1.0, NEAR * one) for one in expected)
    if not right and (
        _BESIDES.search(sentence.text) or any(abs(count.value - one) <= max(2.0, FAR * one) for one in expected)
    ):
        return
    reason = f"{rate:g} requests/s × {times[0].text} is {expected[0]:.3g} requests at once"
    reason += "." if right else f", not {count.text}."
    yield figure_claim(sentence, verdict_of(right), reason, count, f"{expected[0]:.3g}", "requests at once")


_PARTS = re.compile(
    r"(?<=both)\s\w+\b|[\s-](?:\w+[\s-])?(?:layers|Schichten|couches|servers?|nodes?|machines?|hosts?|replicas?|instances?|copies|engines?|cards?|GPUs?|Server|Knoten|Rechner|Maschinen"
    r"|Replikate?n?|Instanzen|Karten|serveurs?|nœuds?|répliques?|cartes?)\b",
    re.IGNORECASE,
)
_SLOTS = re.compile(
    r"\b(?:slots?|sequences?|requests?|conversations?|sessions?|users?|streams?|Plätze|Sequenzen|Anfragen|Sitzungen|séquences?|requêtes"
    r"|sessions|utilisateurs)\b|--max-(?:running-requests|num-seqs|batch-size)",
    re.IGNORECASE,
)
_TOGETHER = re.compile(
    r"\b(?:together|in total|in all|altogether|combined|overall|zusammen|insgesamt|gemeinsam|ensemble|au total|en tout|à (?:eux"
    r"|elles) \w+)\b",
    re.IGNORECASE,
)


_EACH_BEHIND = re.compile(r"(?:\s[^\W\d]+){0,2}?\s(?:each|apiece|jeweils|chacune?s?)\b", re.IGNORECASE)
_EACH_BEFORE = re.compile(r"\b(?:je|jeweils|each (?:with|of|has|having|holding|holds|takes|gets))\s$", re.IGNORECASE)
_PER_PART = re.compile(
    r"(?:\s[^\W\d]+){0,2}?\s(?:per|on each|in each|for each|je|pro|par|sur chaque)\s(?P<part>replica|instance|engine|copy|Replikat|Instanz"
    r"|réplique)\b",
    re.IGNORECASE,
)


def judge_together(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``96 slots let the two servers together work on 192``: what each has, how many there are, and what they have together."""
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    text = sentence.text
    if len(counts) != len(sentence.measures) or re.search(r"[×÷=]", text):
        return
    if any(sentence.has(kind) for kind in ("past", "negation")) or any(is_part_of_count(sentence, m) for m in counts):
        return
    together = _TOGETHER.search(text)
    eaches = [m for m in counts if _EACH_BEHIND.match(text[m.end :]) or _EACH_BEFORE.search(text[: m.start])]
    if len(counts) == 3 and (together or len(eaches) == 1):
        parts = [m for m in counts if m not in eaches and _PARTS.match(text[m.end :])]
        if len(parts) != 1 or not (_SLOTS.search(text) or together):
            return
        rest = [m for m in counts if m is not parts[0]]
        each = eaches[0] if len(eaches) == 1 else rest[0]
        total = next(m for m in rest if m is not each)
        yield from _product(sentence, each, parts[0].value, parts[0].text, total)
    elif len(counts) == 2 and together and own.degrees is not None and own.degrees.dp > 1 and not sentence.strategies:
        per = [m for m in counts if _PER_PART.match(text[m.end :])]
        if len(per) == 1 and _SLOTS.search(text):
            total = next(m for m in counts if m is not per[0])
            yield from _product(sentence, per[0], float(own.degrees.dp), f"{own.degrees.dp} replicas", total)


def _product(sentence: Sentence, each: Measure, number: float, parts: str, total: Measure) -> Iterator[Claim]:
    product = each.value * number
    right = total.value == product
    if not right and total.hedged:
        return
    reason = f"{each.text} × {parts} = {product:,.0f}" + ("." if right else f", not {total.text}.")
    yield figure_claim(sentence, verdict_of(right), reason, total, f"{product:,.0f}", "stated factors")
