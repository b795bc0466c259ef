"""Judges what holds the weights: ``fits on one 80 GB card``, ``a pair of cards can hold it``, ``needs at least six cards``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation, memory_words
from optimizer.auditing.measures import shown
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import about
from optimizer.results.audit import Claim

_WEIGHTS = re.compile(
    r"\b(?:weights?|model|checkpoint|parameters|it|they|everything|network|Gewichte?n?|Modell|poids|modèle"
    r"|Mixtral|Llama|Qwen|DeepSeek|Mistral|ils|elle|es|sie)\b",
    re.IGNORECASE,
)

_CACHE = re.compile(
    r"\b(?:cache|KV|activations?|sequences?|batch|draft|adapters?|embedding|layers?|one stage|shard|share|slice"
    r"|expert|rank|rack|node|Knoten|server|serveur|host|RAM)\b",
    re.IGNORECASE,
)
_SERVES = re.compile(
    r"\b(?:instances?|replicas?|Instanz(?:en)?|Replikate?|répliques?|requests?|Anfragen?|requêtes?|traffic|load|with it)\b",
    re.IGNORECASE,
)
"""``one GPU takes an instance with it``, ``the A100s could carry 3.5 requests``: what cards do, and not what they hold."""

_HOLDS_IT = re.compile(
    r"\b(?P<count>a pair of|a single|one|single|two|three|four|eight|ein(?:e|zelne)?|eine einzelne|zwei|vier|acht|une seule|un seul"
    r"|une|un|deux|quatre|huit|\d{1,2})\s"
    r"(?:(?:these|those|such|our|of these|of those|\w+)\s)?(?P<cards>GPUs?|cards?|accelerators?|Karten?|cartes?"
    r"|[ABHL]\d{1,3}S?s?)\s(?:can|could|would|will|is able to"
    r"|kann|können|könnte|peut|peuvent)?\s?(?P<not>not\s|cannot\s)?"
    r"(?:easily |just |still |alone |allein |problemlos )?(?:holds?|stores?|suffices?|"
    r"(?:is|are|be) (?:large |big )?(?:enough|sufficient)|"
    r"reicht|reichen"
    r"|fasst|fassen|contenir|suffit|suffisent|takes?)\b"
    r"(?:\s(?:it|them|the (?:weights|model|checkpoint)|le modèle|les poids|das Modell|die Gewichte"
    r"|for (?:it|them|the weights|the model)))?",
    re.IGNORECASE,
)
"""``a single card can hold it``: the cards before the verb."""

_OF_MODEL = re.compile(
    r"\b(?:it|them|weights|model|checkpoint|modèle|poids|Modell|Gewichte|suffi\w+|reich\w+|enough)\b"
)

_COUNTS = {"a pair of": 2,
           "a single": 1, "one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "eight": 8, "ein": 1, "eine": 1, "einzelne": 1,
           "eine einzelne": 1, "zwei": 2, "vier": 4, "acht": 8, "une seule": 1, "un seul": 1, "une": 1, "un": 1, "deux": 2,
           "quatre": 4, "huit": 8}  # fmt: skip


def _with_cards(sentence: Sentence) -> str:
    """The sentence with "card" for the name of each GPU: "one card would be enough to hold it"."""
    text = sentence.text
    for gpu in reversed(sentence.gpus):
        behind = re.sub(r"^ (?:NVL|SXM\d?|PCIe)\b", "", text[gpu.end :])
        text = f"{text[: gpu.start]}card{behind}"
    return text


def held_by(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    text = _with_cards(sentence)
    found = _HOLDS_IT.search(text)
    if (
        not found
        or _CACHE.search(sentence.text)
        or _SERVES.search(sentence.text)
        or [t for t in sentence.terms if t.id("fits")]
        or any(m.dimension for m in sentence.measures)
        or sentence.strategies
        or not _OF_MODEL.search(text[found.start() :])
    ):
        return
    meant = about(sentence, (0, len(sentence.text)), context, own)
    if not meant.situations or "weights" not in meant.situations[0].values:
        return
    word = found["count"].lower()
    number = int(word) if word.isdigit() else _COUNTS.get(word, 1)
    needs = [one.values["weights"] for one in meant.situations]
    rooms = [max(one.values["memory"], one.values["nominal_memory"]) * number for one in meant.situations]
    fits = [need <= room for need, room in zip(needs, rooms, strict=True)]
    negated = bool(found["not"]) or bool(re.search(r"\b(?:nicht|ne|pas|kein\w*|not)\b", sentence.text))
    cards = f"{number} GPU{'s' if number > 1 else ''}"
    name = meant.situations[0].model.name
    how = (
        f"{name}: the weights take {shown(needs[0], 'bytes')}, {cards} offer {memory_words(rooms[0] / number, number)}"
    )
    if len(set(fits)) == 1 and fits[0] != negated:
        yield subject_claim(
            sentence, "confirmed", how + ".", meant.situations[0].model.name, "weights", ">" if negated else "≤"
        )
    elif len(set(fits)) == 1 and (not fits[0] or needs[0] < 0.8 * rooms[0]):
        yield subject_claim(
            sentence, "refuted", how + ".", meant.situations[0].model.name, "weights", ">" if negated else "≤"
        )


_A_MODEL_OF = re.compile(r"\b(?:an?|un|ein) (?:model of|modèle de|Modell (?:von|mit)) (?:\w+ )?$", re.IGNORECASE)


def denies_fit(sentence: Sentence) -> bool:
    """Whether it is denied that something fits: "without quantisation", "ohne Weiteres" say how it is, and deny nothing."""
    return any(t.id("negation") and t.text.casefold() not in ("without", "ohne", "sans") for t in sentence.terms)


def fits_on(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    verbs = [t for t in sentence.terms if t.id("fits")]
    if (
        not verbs
        or not (
            _WEIGHTS.search(sentence.text[: verbs[0].start] or sentence.text)
            or re.match(
                r"\s(?:das|die|der|le|la|the)\s(?:Modell|Gewichte|Checkpoint|modèle|model)\b",
                sentence.text[verbs[0].end :],
            )
        )
        or _CACHE.search(sentence.text)
    ):
        return
    verb = verbs[0]
    after = sentence.text[verb.end :]
    cards = re.search(r"\b(?:GPU|card|accelerator|device|Karte|carte|accélérateur)s?\b", after, re.IGNORECASE)
    gpu = next((g for g in sentence.gpus if g.start >= verb.end), None)
    sizes = [m for m in sentence.measures if m.start >= verb.end and m.dimension == "bytes"]
    if cards is None and gpu is None:
        return
    meant = about(sentence, (0, len(sentence.text)), context, own)
    if not meant.situations or (sentence.strategies and sentence.has("hypothetical")):
        return
    counts = [
        m for m in sentence.measures if m.start >= verb.end and m.dimension == "" and not m.unit and m.value <= 64
    ]
    number = counts[0].value if counts else 1.0
    plural = bool(cards and cards.group().lower().endswith("s")) and not counts
    single = bool(
        re.search(
            r"\b(?:single|one|a|an|ein\w*|un|une|seule?)\b", after[: (cards.start() if cards else 20)], re.IGNORECASE
        )
    )
    if plural or (not counts and not single):
        return
    negated = denies_fit(sentence) or bool(
        re.search(r"\b(?:too (?:large|big)|barely|hardly|kaum|à peine|almost|nearly)\b", sentence.text)
    )
    tight = re.search(r"\b(?:barely|hardly|kaum|à peine|almost|nearly)\b", sentence.text)
    if tight:
        return
    needs = [one.values["weights"] for one in meant.situations if "weights" in one.values]
    of_a_model = [
        m for m in sentence.measures if m.dimension == "bytes" and _A_MODEL_OF.search(sentence.text[: m.start])
    ]
    if not needs or any(not m.says(need, 0.05) for m in of_a_model for need in needs):
        return  # "a model of 40 GB fits on one card": another one
    rooms = []
    for one in meant.situations:
        room = max(sizes[0].values) if sizes else max(one.values["memory"], one.values["nominal_memory"])
        rooms.append(room * number)
    fits = [need <= room for need, room in zip(needs, rooms, strict=False)]
    where = f"{shown(rooms[0], 'bytes')} of {number:,.0f} GPU{'s' if number != 1 else ''}"
    how = f"{meant.situations[0].model.name}: the weights take {shown(needs[0], 'bytes')}"
    if not negated and not any(fits):
        yield subject_claim(
            sentence, "refuted", f"{how}, more than the {where}.", meant.situations[0].model.name, "weights", "≤", where
        )
    elif negated and all(need < 0.8 * room for need, room in zip(needs, rooms, strict=False)):
        yield subject_claim(
            sentence,
            "refuted",
            f"{how}, which is within the {where}.",
            meant.situations[0].model.name,
            "weights",
            ">",
            where,
        )
    elif negated != all(fits):
        word = "more than" if negated else "within"
        yield subject_claim(
            sentence,
            "confirmed",
            f"{how}, {word} the {where}.",
            meant.situations[0].model.name,
            "weights",
            ">" if negated else "≤",
            where,
        )


_NEEDS = re.compile(
    r"\b(?:needs?|requires?|required|needed|necessary|takes?|nötig|braucht|bräuchte|benötigt|erforderlich"
    r"|nécessit\w+|faut|faudrait|requiert|minimum)\b",
    re.IGNORECASE,
)


def cards_needed(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """``The weights alone need at least six 80 GB cards``: how many cards hold them."""
    if (
        not _NEEDS.search(sentence.text)
        or not re.search(r"\b(?:weights?|model|Gewichte|Modell|poids|modèle|\d+ ?GB|\d+ ?Go)\b", sentence.text)
        or _CACHE.search(sentence.text)
    ):
        return
    if re.search(r"\breplicas?\b|\bReplik|\bréplique", sentence.text) or sentence.strategies:
        return
    counts = [m for m in sentence.measures if m.dimension == "" and not m.unit and 1 < m.value <= 64]
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    least = re.search(
        r"\b(?:at least|minimum|only|just|no more than|mindestens|nur|au moins|seulement)\b",
        sentence.text,
        re.IGNORECASE,
    )
    meant = about(sentence, (0, len(sentence.text)), context, own)
    if len(counts) != 1 or not least or not meant.situations or "weights" not in meant.situations[0].values:
        return
    if not re.search(r"\b(?:GPUs?|cards?|accelerators?|Karten|cartes)\b|of them", sentence.text) and not sentence.gpus:
        return
    one = meant.situations[0]
    needed = min(sizes, key=lambda m: abs(m.value - one.values["weights"]), default=None)
    weights = needed.value if needed is not None and needed.near(one.values["weights"], 0.05) else one.values["weights"]
    rooms = [m for m in sizes if m is not needed or weights != m.value]
    room = rooms[0].value if rooms else one.values["nominal_memory"]
    number, right = counts[0].value, -(-weights // room)
    reason = f"{one.model.name}: {shown(weights, 'bytes')} of weights take at least {right:,.0f} GPUs of {shown(room, 'bytes')}"
    if number == right:
        yield subject_claim(sentence, "confirmed", reason + ".", one.model.name, "GPUs needed", "≥", f"{right:,.0f}")
    elif number * room * 1.07 < weights and not sentence.has("negation"):
        yield subject_claim(
            sentence, "refuted", f"{reason}, not {number:,.0f}.", one.model.name, "GPUs needed", "≥", f"{right:,.0f}"
        )
