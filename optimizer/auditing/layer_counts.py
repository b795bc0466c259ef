"""Judges how many layers are of a kind, said by a proportion: ``one layer in six is global``, ``the first three layers are dense``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.fractions import PART, fractions_in
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_NUMBER = rf"(?:\d{{1,3}}|{NUMBER_WORD})"
_LAYERS = r"(?:layers?|blocks?|Schicht(?:en)?|couches?)"
_KINDS = (
    ("layers_dense", re.compile(r"\b(?:dense|dicht\w*|denses?)\b", re.IGNORECASE)),
    ("layers_moe", re.compile(
        r"\b(?:MoE|mixtures?|sparse|(?:have|with|use) experts|(?:mit|haben) Experten|avec des experts|Expertenschicht\w*|mélanges?)\b",
        re.IGNORECASE)),
    ("layers_window", re.compile(
        r"\b(?:windows?|sliding|slides?|local|Fenster\w*|gleitend\w*|lokal\w*|fenêtre|glissante?s?|locales?)\b", re.IGNORECASE)),
    ("layers_full", re.compile(
        r"\b(?:global\w*|full[- ]attention|full attention|(?:whole|full|entire) context|everything|gesamten? Kontext|ganzen? Kontext|alles"
        r"|tout le contexte|contexte entier|complète)\b", re.IGNORECASE)),
)  # fmt: skip
_ORDINALS = {
    "other": 2, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "zweite": 2, "dritte": 3,
    "vierte": 4, "fünfte": 5, "sechste": 6, "siebte": 7, "achte": 8,
}  # fmt: skip
_EVERY = re.compile(
    rf"\b(?:every|each|jede)\s(?P<nth>{'|'.join(_ORDINALS)})\s{_LAYERS}\b"
    rf"|\b(?:one|eine|une)\s{_LAYERS}\s(?:in|out of|von|sur)\s(?P<of>{_NUMBER})\b|\b(?:one|eine|une)\s(?:in|von"
    rf"|sur)\s(?P<one>{_NUMBER})\s{_LAYERS}\b",
    re.IGNORECASE,
)
_FIRST = re.compile(
    rf"\b(?:first|ersten|premières)\s(?P<n>{_NUMBER})\s(?:{_LAYERS}\s)?|\b(?P<first>{_NUMBER})\s(?:premières)\s"
    rf"|\b{_LAYERS}\s1\s(?:to|bis|à|-|–)\s(?P<to>\d{{1,3}})\b",
    re.IGNORECASE,
)
_REST = re.compile(
    rf"\b(?:(?:the\s)?(?:other|remaining)|die\s(?:übrigen|anderen|restlichen)|les\sautres)\s(?P<n>{_NUMBER})\b",
    re.IGNORECASE,
)
_SOME = re.compile(
    rf"\b(?P<n>{_NUMBER})\s(?:(?:out )?of|von|der|des|sur)\s(?:the\s|its\s|den\s|les\s|ses\s)?(?P<m>{_NUMBER})\s{_LAYERS}\b",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    rf"^\W*(?:\w+\s)?(?P<n>{_NUMBER})\s{_LAYERS}\s(?:have|use|are|haben|nutzen|sind|ont|utilisent|sont)\b",
    re.IGNORECASE,
)
_OF_LAYERS = re.compile(
    rf"(?:{PART})\s(?:of|der|des)\s(?:the\s|its\s|all\s|them|which|den\s|les\s)?(?:{_NUMBER}\s)?(?:{_LAYERS}|which|them)\b",
    re.IGNORECASE,
)


def judge_layer_counts(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """One claim for each clause that says how many layers, or which part of them, are of a kind that the model has besides another."""
    if sentence.has("past") or sentence.has("negation") or sentence.models:
        return
    for start, end in _clauses(sentence.text):
        part = sentence.text[start:end]
        named = [name for name, words in _KINDS if words.search(part)]
        if len(named) != 1:
            continue
        right, layers = own.values.get(named[0], 0.0), own.model.layers
        if not right or right == layers:
            continue
        said = _said(part, layers)
        if said is None:
            continue
        text, counts = said
        holds = any(abs(right - one) < 1 for one in counts)
        reason = f"{own.model.name}: {right:g} of its {layers} layers are {named[0].removeprefix('layers_')}"
        reason += "." if holds else f", not {text}."
        yield subject_claim(
            sentence, verdict_of(holds), reason, own.model.name, "layers of a kind", "=", f"{right:g}", text
        )


def _clauses(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for mark in re.finditer(r"[,;:]\s", text):
        yield start, mark.start()
        start = mark.end()
    yield start, len(text)


def _said(part: str, layers: int) -> tuple[str, tuple[float, ...]] | None:
    """How many layers a clause says, as written and as counted."""
    if found := _EVERY.search(part):
        word = (found["nth"] or found["of"] or found["one"]).lower()
        each = _ORDINALS.get(word) or count_of(word)
        return (found.group(), (layers / each,)) if each > 1 else None
    if found := _SOME.search(part):
        some, of = count_of(found["n"]), count_of(found["m"])
        return found.group(), (float(some) if of == layers else some * layers / max(1, of),)
    if re.search(_OF_LAYERS, part) and (listed := list(fractions_in(part))):
        return listed[0].text, (listed[0].value * layers,)
    if found := _FIRST.search(part):
        word = found["n"] or found["first"] or found["to"]
        return word, (float(count_of(word)),)
    if found := _REST.search(part) or _PLAIN.search(part):
        return found["n"], (float(count_of(found["n"])),)
    return None
