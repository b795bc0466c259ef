"""Judges what is divided among so many parts: ``8 KV heads on 4 cards leave two on each``, ``TP3 is legal for 32 heads``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, subject_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.figure_roles import is_part_of_count
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_THINGS = re.compile(
    r"[\s-](?:(?:\w+[\s/-]){0,2}?)(?:heads?|experts?|layers?|blocks|\w*-?[Kk]öpfen?|Experten|\w*[Ss]chichten|têtes|couches|rows|columns)\b",
    re.IGNORECASE,
)
_PARTS = re.compile(
    r"[\s-](?:(?!each|every|per|a\b|je|pro|par|chaque)\w+\s)?(?:cards?|GPUs?|ranks?|accelerators?|stages?|ways?|Karten?|Stufen|Teile|cartes?|rangs?|étages?|parts)\b",
    re.IGNORECASE,
)
_EACH = r"(?:each|every|per|apiece|a|je|jede[rmsn]?|pro|jeweils|chaque|chacune?|par)"
_OF_EACH = re.compile(
    rf"\b{_EACH}\b\s?(?:(?:of them|one|card|GPU|rank|stage|Karte|Stufe|carte|rang|étage)\b)?[^\d,;.]{{0,40}}$",
    re.IGNORECASE,
)
_TO_EACH = re.compile(
    rf"(?:\s(?:\w+\s){{0,3}}?|\s?)(?:(?:to|on|for|of|an|auf|für|à|sur|pour)\s)?{_EACH}\b", re.IGNORECASE
)
_LEGAL = re.compile(
    r"\b(?:legal|allowed|possible|permitted|valid|fine|works?|divid\w+|zulässig|erlaubt|möglich|gültig|geht|teil\w+|aufgeh\w*|autorisée?"
    r"|possible|permise?|valide|convient|divis\w+)\b",
    re.IGNORECASE,
)
_HEADS = re.compile(r"\b(?:query|attention|Q)[\s-]heads?\b|\bheads\b|\b\w*[Kk]öpfen?\b|\btêtes\b", re.IGNORECASE)
_KV = re.compile(r"\b(?:KV|key|K/V|clés?|Schlüssel)", re.IGNORECASE)


def judge_divisions(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """A share of each of so many parts, and whether heads can be divided at all."""
    if sentence.has("past"):
        return
    yield from _share_of_each(sentence)
    yield from _legal(sentence, own)
    yield from _comes_back_as(sentence, own)
    yield from _spread(sentence)
    yield from _experts_of_each(sentence, own)


def _share_of_each(sentence: Sentence) -> Iterator[Claim]:
    """So many things, so many parts, and what each part has of them: the three counts of one sentence."""
    text = sentence.text
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    things = [m for m in counts if _THINGS.match(text[m.end :])]
    parts = [m for m in counts if _PARTS.match(text[m.end :]) and m not in things]
    tps = {mention.as_dict["tp"] for *_, mention in sentence.strategies if set(mention.as_dict) == {"tp"}}
    number = parts[0].value if len(parts) == 1 else float(tps.pop()) if not parts and len(tps) == 1 else 0.0
    if not things or number < 2 or sentence.has("negation") or re.search(r"\d\s?[×÷/*]\s?\d", text):
        return
    if any(is_part_of_count(sentence, m) for m in counts):
        return  # "20 of its 40 heads on each card": two counts that say it already
    whole = things[0]
    after = max(whole.end, parts[0].end if parts else 0)
    shares = [m for m in counts if m.start > after and m is not whole and _is_of_each(text, m)]
    if len(shares) != 1 or len(things) > 2 or (len(things) == 2 and things[1] is not shares[0]):
        return
    share, exact = shares[0], max(1.0, whole.value / number)
    if not float(whole.value).is_integer() or share.hedged:
        return
    right = share.value in (exact, math.floor(exact), math.ceil(exact))
    reason = f"{whole.text} ÷ {number:g} = {whole.value / number:g}"
    reason += ("" if whole.value >= number else ": each has one of them") + ("." if right else f", not {share.text}.")
    yield figure_claim(sentence, verdict_of(right), reason, share, f"{exact:g}", "share of each")


def _is_of_each(text: str, measure: Measure) -> bool:
    behind = text[measure.end :]
    return bool(_OF_EACH.search(text[: measure.start]) or _TO_EACH.match(behind)) and not _PARTS.match(behind)


def _legal(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``TP3 would be just as legal for the 32 query heads``: tensor parallelism has to divide the heads."""
    sizes = {mention.as_dict["tp"] for *_, mention in sentence.strategies if set(mention.as_dict) == {"tp"}}
    named = _HEADS.search(sentence.text)
    if len(sizes) != 1 or not named or not _LEGAL.search(sentence.text) or sentence.models or _KV.search(sentence.text):
        return
    size, heads = max(1, sizes.pop()), own.model.attention_heads
    counted = [m for m in sentence.measures if not m.dimension and _HEADS.search(sentence.text[m.end : m.end + 24])]
    if len(counted) > 1 or (counted and counted[0].value != heads):
        return
    divides, denied = heads % size == 0, sentence.has("negation")
    reason = f"{heads} attention heads are {'' if divides else 'not '}divisible by {size}."
    yield subject_claim(
        sentence, verdict_of(divides != denied), reason, f"TP{size}", "divisibility", "=", shown(heads / size, ""), f"TP{size}"
    )  # fmt: skip


_AS_DEGREE = re.compile(
    r"\b(?:can|could|may|will|would|kann|können|könnte\w*|werden|peu(?:t|vent)|pourrai\w+)\b[^.;]{0,50}?\b(?:as|with|at|als|mit|en|avec)\s"
    r"(?:a\s)?TP[\s=-]?(?P<n>\d{1,3})\b|\bTP[\s=-]?(?P<m>\d{1,3})\s(?:would|will|could|can|würde|kann|pourrait|peut)\s(?:still\s|also\s|noch"
    r"\s|auch\s|encore\s)?(?:do|work|run|serve|start|laufen|gehen|tourner|marcher)\b",
    re.IGNORECASE,
)


def _comes_back_as(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``the seven left can come back as TP7``: by a degree that does not divide the heads nothing runs."""
    found = _AS_DEGREE.search(sentence.text)
    if not found or sentence.models or sentence.has("negation") or _HEADS.search(sentence.text):
        return
    size, heads = int(found["n"] or found["m"]), own.model.attention_heads
    if size > 1 and heads % size:
        reason = f"TP has to divide the {heads} attention heads; {size} does not."
        expected = f"a divisor of {heads}"
        yield subject_claim(sentence, "refuted", reason, f"TP{size}", "divisibility", "=", expected, f"TP{size}")


_CAN_BE = re.compile(
    r"\b(?:can(?:not|'t)?|could(?: not|n't)?|lassen sich|lässt sich|kann|können|peuvent|peut"
    r"|se laisse\w*)\b[^.;]{0,30}?\b(?:spread|split|divided"
    r"|shared|distributed|verteil\w*|aufteil\w*|teilen|répart\w*|divis\w*|partag\w*)\b",
    re.IGNORECASE,
)


def _spread(sentence: Sentence) -> Iterator[Claim]:
    """``64 heads cannot be spread over three cards``."""
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    if len(counts) != 2 or len(sentence.measures) != 2 or not _CAN_BE.search(sentence.text):
        return
    whole, parts = counts
    heads = _HEADS.search(sentence.text[whole.end : whole.end + 24])
    if not heads or not _PARTS.match(sentence.text[parts.end :]) or parts.value < 1:
        return
    rest, denied = whole.value % parts.value, sentence.has("negation")
    reason = f"{whole.text} = {whole.value // parts.value:g} × {parts.text}" + (f" + {rest:g}." if rest else ".")
    yield subject_claim(
        sentence, verdict_of(bool(rest) == denied), reason, whole.text, "divisibility", "=", f"rest {rest:g}", parts.text
    )  # fmt: skip


_EXPERT_PARALLEL = re.compile(
    r"\b(?:expert[- ]parallel\w*|Experten-?parallel\w*|parallélisme d'experts|EP\W?\d+)\b", re.IGNORECASE
)
_EXPERTS = re.compile(r"\s(?:\w+\s)?(?:experts?|Experten)\b", re.IGNORECASE)


def _experts_of_each(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``expert parallelism over 16 GPUs puts 16 of 256 experts on each``."""
    counts = [m for m in sentence.measures if not m.dimension and not m.unit]
    parts = {m.value for m in counts if _PARTS.match(sentence.text[m.end :])}
    parts |= {float(mention.as_dict["ep"]) for *_, mention in sentence.strategies if "ep" in mention.as_dict}
    shares = [m for m in counts if _EXPERTS.match(sentence.text[m.end :]) and m.value not in (1, own.model.experts)]
    if not own.model.experts or len(parts) != 1 or len(shares) != 1 or not _EXPERT_PARALLEL.search(sentence.text):
        return
    number = parts.pop()
    if number < 2 or not re.search(_EACH, sentence.text[shares[0].end :], re.IGNORECASE) or sentence.has("negation"):
        return
    exact = own.model.experts / number
    right = shares[0].value in (math.floor(exact), math.ceil(exact))
    reason = f"{own.model.experts} experts ÷ {number:g} = {exact:g}" + ("." if right else f", not {shares[0].text}.")
    yield figure_claim(sentence, verdict_of(right), reason, shares[0], f"{exact:g}", "share of each")
