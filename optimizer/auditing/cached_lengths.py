"""Judges what so many tokens take in the cache, and how many such lengths it holds: ``the longest request takes 2.5 GiB``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

LEAST = 256
"""Tokens: a smaller number is rarely a length."""
_TAKES = re.compile(
    r"\b(?:takes?|needs?|consumes?|occup(?:y|ies)|uses?|costs?|fills?|requires?|claims?|asks for|is|are|belegt|belegen|braucht|benötigt"
    r"|kostet"
    r"|verbraucht|füllt|ist|sind|occupe\w*|prend|prennent|demande\w*|exige\w*|consomme\w*|coûte\w*|pèse\w*|représente\w*)\b",
    re.IGNORECASE,
)
_LONGEST = re.compile(
    r"\b(?:longest|full-length|maximum-length|longest (?:admissible|allowed|possible)|längste[rn]?|größtmögliche|plus (?:longue|long))\s"
    r"(?:\w+\s){0,2}?(?:request|sequence|context|prompt|conversation|session|Anfrage|Sequenz|Kontext|Unterhaltung|requête|séquence"
    r"|contexte)\b",
    re.IGNORECASE,
)
_TOKENS = re.compile(
    r"[\s-](?:\w+\s)?(?:tokens?|Tokens?|jetons?)\b(?!\s?(?:/|(?:per|pro|je|par)\s(?!replica|instance|Replikat|Instanz|réplique)))",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"\b(?:weights?|activations?|buffers?|layer|head|prefix|draft|disk|RAM|host|weights|layers|Gewichte\w*|Schicht(?:en)?|Kopf|Puffer|poids|couches?|tête"
    r"|FP8|fp8|INT8|quanti\w+|average|typical|im Mittel|moyenne|left|free|remain\w*|bleib\w*|reste\w*|message|all-?reduce|hidden|logits)\b",
    re.IGNORECASE,
)
_SUCH = re.compile(
    r"\s(?:such|of these|of those|of them|like that|solche\w*|davon|derartige\w*|tel\w*|de ces)\b|\s(?:contexts|sequences|sessions"
    r"|séquences|Sequenzen"
    r"|contextes|Kontexte)\s(?:like|wie|comme)\b",
    re.IGNORECASE,
)
_SEQUENCES = re.compile(
    r"\b(?:contexts?|sequences?|sessions?|requests?|conversations?|Sequenzen|Kontexte\w*|Anfragen|Sitzungen|séquences|contextes"
    r"|requêtes)\b",
    re.IGNORECASE,
)
_ROOM = re.compile(
    r"\b(?:room|space|enough|fits?|holds?|suffices?|Platz|Raum|reicht|genug|passen|place|suffit|suffisent|contient|tiennent|tient)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\b(?:this|that|it|these|das|dies|es|davon|cela|ce qui|c'est|il|elle)\b", re.IGNORECASE)
_ON_GPU = re.compile(
    r"\b(?:on|per|each|for|a|auf|pro|je|jede\w*|einer|sur|par|chaque|une)\s(?:one |a |an |each |every |single |einer |jeder |une "
    r"|chaque )?(?:GPU"
    r"|card|accelerator|Karte|carte)\b",
    re.IGNORECASE,
)


def judge_cached_lengths(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """At most one claim; nothing where the sentence may speak of another network, format or part."""
    if sentence.has("past") or sentence.has("hypothetical") or sentence.has("negation") or not own.own_model:
        return
    if sentence.models or sentence.gpus or sentence.strategies or _OTHER.search(sentence.text) or own.degrees is None:
        return
    if any(t.id("precisions") for t in sentence.terms):
        return
    yield from (
        list(_taken(sentence, own)) or list(_share(sentence, context, own)) or list(_held(sentence, context, own))
    )


def _lengths(sentence: Sentence, own: Situation) -> list[tuple[float, str]]:
    counted = [
        m for m in sentence.measures if not m.dimension and m.value >= LEAST and _TOKENS.match(sentence.text[m.end :])
    ]
    if counted:
        return [(value, f"{value:,.0f} tokens") for m in counted for value in m.values[:2]]
    if _LONGEST.search(sentence.text) and own.problem.requirements.max_sequence_tokens:
        value = own.values["max_length"]
        return [(value, f"{value:,.0f} tokens")]
    return []


def _taken(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``8,192 tokens take 2.5 GiB``: the only size and the only length of a sentence."""
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    lengths = _lengths(sentence, own)
    if len(sizes) != 1 or not lengths or len({text for _, text in lengths}) > 1 or not _TAKES.search(sentence.text):
        return
    if len([m for m in sentence.measures if m not in sizes]) > 1:
        return
    size = sizes[0]
    parts = [own.values[name] for name in ("kv_token", "kv_token_gpu") if name in own.values]
    right = any(size.says(value * part, 0.02) for value, _ in lengths for part in parts)
    value, text = lengths[0]
    part = own.values["kv_token"]
    if not right and (
        (size.hedged and size.near(value * part, 0.15)) or sentence.has("at_least") or sentence.has("at_most")
    ):
        return
    reason = f"{text} × {shown(part, 'bytes')} of cache is {shown(value * part, 'bytes')}"
    yield _claim(sentence, size, right, reason, shown(value * part, "bytes"), "cache of a length")


def _share(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """``On one GPU this is 0.6 GiB``, behind the cache of a length."""
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if (
        len(sizes) != 1
        or len(sentence.measures) > 2
        or not (_GOES_ON.search(sentence.text) and _ON_GPU.search(sentence.text))
    ):
        return
    before = context.recent[-1] if context.recent else None
    if (
        before is None
        or not 0 <= sentence.statement.line - before.statement.line <= 1
        or "kv_token_gpu" not in own.values
    ):
        return
    wholes = [m for m in before.measures if m.dimension == "bytes"]
    part = own.values["kv_token_gpu"] / own.values["kv_token"]
    lengths = _lengths(before, own)
    whole = next((m for m in wholes for value, _ in lengths if m.says(value * own.values["kv_token"], 0.02)), None)
    if whole is None or part >= 1:
        return
    value = whole.value * part
    right = sizes[0].says(value, 0.03)
    if right or not sizes[0].hedged:
        reason = f"{whole.text} of cache is {shown(value, 'bytes')} on each GPU of {own.degrees.label if own.degrees else ''}"
        yield _claim(sentence, sizes[0], right, reason, shown(value, "bytes"), "cache of a length per GPU")


def _held(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """``With 171,000 tokens there is room for ten such contexts``."""
    if not (_ROOM.search(sentence.text) and _SEQUENCES.search(sentence.text)):
        return
    counts = [
        m for m in sentence.measures if not m.dimension and 1 < m.value < 5000 and _SUCH.match(sentence.text[m.end :])
    ]
    pools = [
        m
        for m in sentence.measures
        if not m.dimension and m.value >= 4 * LEAST and _TOKENS.match(sentence.text[m.end :])
    ]
    if len(counts) != 1 or len(pools) != 1:
        return
    count, pool = counts[0], pools[0]
    earlier = [s for s in context.recent[-2:] if 0 <= sentence.statement.line - s.statement.line <= 2]
    lengths = [own.values["max_length"]] + [
        value
        for s in earlier
        for m in s.measures
        if not m.dimension and LEAST <= m.value < pool.value
        for value in m.values[:2]
    ]
    held = [pool.value / one for one in lengths]
    right = any(count.value in (int(one), round(one)) or count.near(one, 0.03) for one in held)
    if right or not (count.hedged or any(0.8 * one <= count.value <= one for one in held)):
        reason = f"{pool.text} ÷ {lengths[-1]:,.0f} is {held[-1]:,.3g}"
        yield _claim(sentence, count, right, reason, f"{held[-1]:,.3g}", "sequences in the cache")


def _claim(sentence: Sentence, measure: Measure, right: bool, reason: str, expected: str, quantity: str) -> Claim:
    reason += "." if right else f", not {measure.text}."
    return figure_claim(sentence, verdict_of(right), reason, measure, expected, quantity)
