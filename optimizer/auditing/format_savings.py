"""Judges what another number format saves, and what each GPU has of the cache: ``an FP8 cache would save 50 % of it``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.failed import degrees_meant
from optimizer.auditing.fractions import fractions_in
from optimizer.auditing.sentences import Sentence
from optimizer.catalog.constants import constants
from optimizer.costs.parameters import KV_BYTES
from optimizer.results.audit import Claim

_HALVED = re.compile(r"\b(?:halv(?:es|ed)|halbiert)\b", re.IGNORECASE)
_SAVES = re.compile(
    r"\b(?:sav(?:e|es|ing)|reduc\w+|shrinks?|cuts?|halves?|halved|spart|sparen|einsparen|reduzier\w*|verkleiner\w*|halbier\w*|économis\w*"
    r"|rédui\w*|divis\w*)\b",
    re.IGNORECASE,
)
_TO = re.compile(
    r"\b(?:to|auf|à)\s(?:about |only |just |rund |nur |environ )?(?:an?\s|one\s|the\s|ein(?:e|em)?\s|die\s|une?\s|la\s)?$",
    re.IGNORECASE,
)
_CACHE = re.compile(r"\b(?:cache|KV|Cache)\b")
_WEIGHTS = re.compile(r"\b(?:weights?|model|Gewicht\w*|Modell|poids|modèle)\b", re.IGNORECASE)
_ON_GPU = re.compile(
    r"\b(?:on|per|of|auf|pro|je|sur|par)\s(?:each|every|a|one|jede[rm]?|chaque|une)?\s?(?:GPU|card|rank|Karte|carte|rang)\b",
    re.IGNORECASE,
)
_OF_CACHE = re.compile(
    r"\b(?:of|des|vom|von|du)\s(?:the |that |its |a token's )?(?:KV[- ])?(?:cache|Caches?)\b"
    r"|\b(?:cache|Cache)\b[^.;,]{0,25}\b(?:to|auf|à)\s(?:(?:an?|one|ein\w*|une?|die|la)\s)?\w+"
)


def judge_format_savings(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """A share saved by a format, or one that a GPU has of the cache; nothing where both cache and weights are spoken of."""
    if sentence.has("past") or sentence.has("negation") or sentence.models or len(sentence.measures) > 2:
        return
    cache, weights = bool(_CACHE.search(sentence.text)), bool(_WEIGHTS.search(sentence.text))
    formats = {id for term in sentence.terms if (id := term.id("precisions"))}
    if cache and not weights and not formats:
        yield from _of_cache(sentence, own)
    elif cache != weights and len(formats) == 1 and _SAVES.search(sentence.text):
        yield from _saved(sentence, own, formats.pop(), cache)


def _said(sentence: Sentence) -> tuple[float, str, int] | None:
    """The one share that a sentence gives, in words or percent, and where."""
    found = [(one.value, one.text, one.start) for one in fractions_in(sentence.text)]
    found += [(m.value / 100, m.text, m.start) for m in sentence.measures if m.dimension == "%"]
    found += [(0.5, m.group(), m.start()) for m in _HALVED.finditer(sentence.text)]
    return found[0] if len(found) == 1 else None


def _saved(sentence: Sentence, own: Situation, format: str, cache: bool) -> Iterator[Claim]:
    said = _said(sentence)
    if said is None:
        return
    if cache and format in KV_BYTES:
        left = KV_BYTES[format] / KV_BYTES[own.kv_format]
        what, now = "keys and values", own.kv_format
    elif not cache and format in constants().formats and own.values.get("weights"):
        left = replace(own, weight_format=format).values["weights"] / own.values["weights"]
        what, now = "weights", own.weight_format
    else:
        return
    if left > 0.97:
        return
    share, text, place = said
    expected = left if _TO.search(sentence.text[:place]) else 1 - left
    right = abs(share - expected) <= 0.03
    if not right and abs(share - expected) <= 0.08:
        return
    reason = f"{format.upper()} {what} need {100 * left:.3g}% of the bytes of {now.upper()}"
    reason += "." if right else f", which saves {100 * (1 - left):.3g}%, not {text}."
    yield subject_claim(sentence, verdict_of(right), reason, what, "share of each", "=", f"{100 * expected:.3g}%", text)


def _of_cache(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``TP4 cuts the cache to a quarter on each GPU``: that of MLA is whole on every rank."""
    said = _said(sentence)
    degrees = degrees_meant(sentence, own)
    named = _ON_GPU.search(sentence.text) or sentence.strategies
    if said is None or degrees is None or not named or not _OF_CACHE.search(sentence.text):
        return
    meant = own if degrees == own.degrees else own.with_degrees(degrees)
    part, whole = meant.values.get("kv_token_gpu"), meant.values.get("kv_token")
    if not part or not whole or degrees.tp == 1:
        return
    share, text, _ = said
    right = abs(share - part / whole) <= 0.02
    reason = f"{degrees.label}: a GPU has {100 * part / whole:.3g}% of the cache of a token"
    reason += " (its latent vector is whole on every TP rank)" if meant.model.mla else ""
    reason += "." if right else f", not {text}."
    yield subject_claim(
        sentence, verdict_of(right), reason, degrees.label, "share of each", "=", f"{100 * part / whole:.3g}%", text
    )
