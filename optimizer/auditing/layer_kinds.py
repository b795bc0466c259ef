"""Judges the cache of layers of one kind, of models that have two: ``eighteen such layers make 36 KiB per token``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.figure_roles import is_operand
from optimizer.auditing.figures import WIDEST_NUMBER
from optimizer.auditing.ledger import token_counts
from optimizer.auditing.measures import shown
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_LAYERS = r"(?:layers?|Schicht(?:en)?|couches?)"
_KINDS = {
    "full": re.compile(
        rf"\b(?:global|full[- ]attention|full|globale[nrs]?|voll\w*|unbegrenzt\w*)\s(?:attention[- ])?{_LAYERS}\b"
        rf"|\b{_LAYERS}\s(?:globales?|complètes?|à attention (?:complète|globale))\b|\b(?:Global|Voll)\w*schicht(?:en)?\b",
        re.IGNORECASE,
    ),
    "window": re.compile(
        rf"\b(?:local|sliding(?:[- ]window)?|windowed|window|lokale[nrs]?|gleitend\w*)\s(?:attention[- ])?{_LAYERS}\b"
        rf"|\b{_LAYERS}\s(?:locales?|glissantes?|à fenêtre)\b|\b(?:Fenster|Lokal)\w*schicht(?:en)?\b",
        re.IGNORECASE,
    ),
}
_SUCH = re.compile(rf"\b(?:such|those|these|solche[rn]?|diese[nr]?|telles|ces)\s{_LAYERS}\b", re.IGNORECASE)
_ONE = re.compile(
    r"\b(?:an?|one|each|every|per|single|eine[rm]?|jede[rm]?|je|pro|une|chaque|par)\s(?:\w+[\s-])?$", re.IGNORECASE
)
_COUNT = re.compile(rf"\b(?P<n>\d{{1,3}}|{NUMBER_WORD})\s(?:\w+[\s-])?$", re.IGNORECASE)
_PER_TOKEN = re.compile(
    r"\b(?:per|each|every|a|one|pro|je|jede[sn]|ein(?:es)?|par|chaque|un)\s(?:new\s)?(?:tokens?|jeton)\b", re.IGNORECASE
)
_ON_GPU = re.compile(r"\b(?:GPUs?|cards?|ranks?|Karten?|cartes?)\b")


def judge_layer_kinds(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """The one size of a sentence that names a kind of layer, so many of them, and a token or so many tokens."""
    whole = {kind: own.values.get(f"kv_token_{kind}", 0.0) for kind in _KINDS}
    if not all(whole.values()) or sentence.models or any(t.id("precisions") for t in sentence.terms):
        return
    if any(sentence.has(kind) for kind in ("past", "hypothetical", "negation")):
        return
    named = [(found, kind) for kind, words in _KINDS.items() if (found := words.search(sentence.text))]
    such = _SUCH.search(sentence.text)
    if such and not named:
        before = [kind for kind, words in _KINDS.items() for one in context.recent[-1:] if words.search(one.text)]
        named = [(such, before[0])] if len(before) == 1 else []
    sizes = [m for m in sentence.measures if m.dimension == "bytes" and m.value > WIDEST_NUMBER]
    sizes = [m for m in sizes if not is_operand(sentence.text, m)]
    if len(named) != 1 or len(sizes) != 1:
        return
    (place, kind), size = named[0], sizes[0]
    layers = own.values[f"layers_{kind}"]
    counted = _COUNT.search(sentence.text[: place.start()])
    count = (
        1.0 if _ONE.search(sentence.text[: place.start()]) else count_of(counted["n"].lower()) if counted else layers
    )
    tokens = list(token_counts(sentence, size)) or ([1.0] if _PER_TOKEN.search(sentence.text) else [])
    if not tokens or not 1 <= count <= layers:
        return
    each = whole[kind] / layers
    lengths = [*tokens, own.values["window"]] if kind == "window" and max(tokens) > 1 else tokens
    parts = [1.0, own.values.get("kv_split", 1.0)] if _ON_GPU.search(sentence.text) else [1.0]
    values = [each * count * length / part for length in lengths for part in parts]
    right = any(size.says(value, 0.02) for value in values)
    if not right and (sentence.has("at_least") or sentence.has("at_most")):
        return
    of_tokens = "" if tokens[0] == 1 else f" × {lengths[0]:,.0f} tokens"
    those = f"{own.model.name}: {count:g} of its {layers:g} {kind}-attention layers"
    reason = f"{those} × {shown(each, 'bytes')}{of_tokens} is {shown(values[0], 'bytes')}"
    reason += "." if right else f", not {size.text}."
    yield figure_claim(sentence, verdict_of(right), reason, size, shown(values[0], "bytes"), "cache of a kind of layer")
