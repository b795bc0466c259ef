"""Judges proportions said in words: ``a quarter of the weights``, ``twelve query heads to one``, ``88 is not a multiple of five``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.failed import degrees_meant
from optimizer.auditing.fractions import PART, PARTS
from optimizer.auditing.lexicon import Lexicon
from optimizer.auditing.measures import measures
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_OF_WEIGHTS = re.compile(
    rf"\b(?P<part>{PART})\s(?:of|der|des|du|von)\s(?:all\s|the\s|its\s|den\s|les\s)?(?:model\s|Modell)?"
    r"(?:weights?|model|parameters|Gewichte?n?|Modells?|Parameter|poids|modèle|paramètres)\b",
    re.IGNORECASE,
)
_ON_CARD = re.compile(
    r"\b(?:each|every|per|a single|one|jede[rsnm]?|je|pro|chaque|par|une)\s(?:\w+\s)?(?:GPU|card|accelerator|rank|Karte|carte)\b",
    re.IGNORECASE,
)
_TO_ONE = re.compile(
    r"(?P<ratio>\b\d{1,3}|\b[a-zà-ÿ-]+)(?:\s(?:to|zu|pour|für)\s(?:one|1|eins|einem|un|une)\b|\s?:\s?1\b)",
    re.IGNORECASE,
)
_MULTIPLE = re.compile(
    r"(?P<whole>\d{1,6}|\b[a-zà-ÿ-]+)\s(?:layers\s|heads\s|Schichten\s|Köpfe\s|couches\s|têtes\s)?(?P<verb>(?:is|are|ist|sind|est"
    r"|sont|n'est|ne sont|cannot be|can be"
    r"|lässt sich|lassen sich|kann|können)\s?(?:also |still |auch |aussi )?)(?P<not>not |no |kein |keine |nicht |pas )?(?:a |an "
    r"|ein |eine |un )?"
    r"(?:evenly |exactly |glatt |ohne Rest |gleichmäßig )?"
    r"(?:multiple of|divisible by|divided (?:evenly )?by|Vielfaches von|durch|teilbar durch|multiple de"
    r"|divisible par)\s(?P<part>\d{1,4}|[a-zà-ÿ-]+)",
    re.IGNORECASE,
)
_EVENLY = re.compile(
    r"\b(?:evenly|without remainder|ohne Rest|glatt|gleichmäßig|teilbar|divisible|multiple|Vielfaches)\b", re.IGNORECASE
)
_KEEPS = re.compile(
    r"\b(?:keeps?|holds?|stores?|gets?|carries|takes?|has|sees?|hält|behält|bekommt|trägt|speichert|garde|conserve|porte|reçoit|stocke)\b",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"^\W*(?:out )?(?:of|from|von|vom|aus|de|des|du|sur)\s", re.IGNORECASE)


def judge_proportions(sentence: Sentence, own: Situation, lexicon: Lexicon) -> Iterator[Claim]:
    """Proportions of the report's own model and strategy."""
    yield from _multiples(sentence)
    yield from _one_or_other(sentence, own)
    if sentence.has("hypothetical") or sentence.has("past") or sentence.models or sentence.strategies:
        return
    yield from _heads(sentence, own)
    yield from _stages(sentence, own)
    if own.degrees is not None and not sentence.has("negation"):
        yield from _of_weights(sentence, own)
        yield from _kept(sentence, own, lexicon)


def _say(
    sentence: Sentence, right: bool, reason: str, stated: str, expected: str, subject: str, quantity: str
) -> Claim:
    return subject_claim(sentence, verdict_of(right), reason, subject, quantity, "=", expected, stated)


def _number(word: str, language: str) -> float | None:
    found = measures(word, language)
    if len(found) == 1 and not found[0].unit and not found[0].dimension:
        return found[0].value
    return None


def _multiples(sentence: Sentence) -> Iterator[Claim]:
    found = _MULTIPLE.search(sentence.text)
    if not found or not _EVENLY.search(found.group()):
        return
    whole, part = _number(found["whole"], sentence.language), _number(found["part"], sentence.language)
    if not whole or not part or not float(part).is_integer() or not float(whole).is_integer():
        return
    rest = int(whole) % int(part)
    denied = bool(found["not"]) or bool(re.search(r"n't\b|n'|ne\b|cannot", found["verb"]))
    reason = f"{int(whole):,} = {int(whole) // int(part):,} × {int(part):,}" + (f" + {rest}" if rest else "")
    yield _say(
        sentence,
        bool(rest) == denied,
        reason + ".",
        found.group(),
        "no multiple" if rest else "a multiple",
        f"{int(whole)}",
        "multiple",
    )


_ONE_OR_OTHER = re.compile(r"\b(?P<low>[1-9]\d{0,2})\s(?:or|oder|ou)\s(?P<high>\d{1,3})\b(?!\s?[%GMKT])")
_LAYERS = re.compile(r"\b(?:layers?|Schichten|couches)\b", re.IGNORECASE)
_HELD = re.compile(r"\b(?:stages?|GPUs?|cards?|ranks?|Stufen?|Karten?|étages?|cartes?)\b", re.IGNORECASE)


def _one_or_other(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``each stage has 30 or 31 layers``: two neighbouring counts, of stages that differ by a layer."""
    found = _ONE_OR_OTHER.search(sentence.text)
    degrees = degrees_meant(sentence, own)
    if not found or degrees is None or degrees.pp < 2 or sentence.models or sentence.has("past"):
        return
    low, high = int(found["low"]), int(found["high"])
    if high != low + 1 or not (_LAYERS.search(sentence.text) and _HELD.search(sentence.text)):
        return
    layers, stages = own.model.layers, degrees.pp
    right = low == layers // stages and layers % stages > 0
    each = f"{layers // stages} or {layers // stages + 1}" if layers % stages else f"{layers // stages}"
    reason = f"{layers} layers over {stages} stages are {each} each" + ("." if right else f", not {found.group()}.")
    yield _say(sentence, right, reason, found.group(), each, degrees.label, "layers")


_STAGES_OF = re.compile(
    r"\b(?:stages?|Stufen|étages?)\s(?:of|with|mit|von|zu|de|à)\s(?P<counts>\d{1,3}(?:(?:,\s|\s?\+\s?|\s(?:and|und|et|plus)\s|/)\d{1,3})+)\b",
    re.IGNORECASE,
)


def _stages(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``88 layers in stages of 44 and 44``: the layers of all stages."""
    found = _STAGES_OF.search(sentence.text)
    if not found or own.degrees is None:
        return
    counts = [int(number) for number in re.findall(r"\d+", found["counts"])]
    if len(counts) != own.degrees.pp:
        return
    total, right = sum(counts), own.model.layers
    reason = f"{' + '.join(map(str, counts))} = {total}; {own.model.name} has {right} layers"
    yield _say(
        sentence, total == right, reason + ".", found["counts"], f"{right} layers in all", own.model.name, "layers"
    )


def _heads(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    named = {id for term in sentence.terms for id in term.ids("quantity")}
    ratio = _TO_ONE.search(sentence.text)
    if (
        not ratio
        or "mla" in own.holds
        or not (named & {"kv_heads", "kv_heads_short"} and named & {"attention_heads", "query_heads_short"})
    ):
        return
    stated = _number(ratio["ratio"], sentence.language)
    if stated is None or not own.model.kv_heads:
        return
    right = own.model.attention_heads / own.model.kv_heads
    reason = f"{own.model.name}: {own.model.attention_heads} query heads to {own.model.kv_heads} KV heads are {right:g} to one"
    yield _say(
        sentence,
        stated == right,
        reason + ".",
        ratio.group(),
        f"{right:g} to one",
        own.model.name,
        "queries_per_kv_head",
    )


def _of_weights(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``each card carries a quarter of the weights``; of dense models, whose weights every GPU of a replica shares alike."""
    found = list(_OF_WEIGHTS.finditer(sentence.text))
    degrees = own.degrees
    assert degrees is not None
    if len(found) != 1 or not _ON_CARD.search(sentence.text) or (degrees.ep > 1 and own.model.experts):
        return
    if re.search(
        r"\b(?:more|less|over|under|about|than|mehr|weniger|über|unter|plus|moins)\s\w{0,4}\s?$",
        sentence.text[: found[0].start()],
    ):
        return
    part, right = PARTS[found[0]["part"].lower()], degrees.tp * degrees.pp
    reason = f"{degrees.label}: a GPU holds 1/{right} of the weights of its replica"
    yield _say(
        sentence, part == right, reason + ".", found[0].group(), f"1/{right}", degrees.label, "share of the weights"
    )


def _kept(sentence: Sentence, own: Situation, lexicon: Lexicon) -> Iterator[Claim]:
    """``Of a token's 352 KiB each card keeps 44 KiB``: a whole of the ledger, and what one GPU has of it."""
    from optimizer.auditing.formula import UnknownName, value_of

    sizes = [m for m in sentence.measures if m.dimension]
    if len(sizes) != 2 or sizes[0].dimension != sizes[1].dimension or not _WHOLE.match(sentence.text):
        return
    whole, part = sizes
    gap = sentence.text[whole.end : part.start]
    if not _ON_CARD.search(gap) or not _KEEPS.search(gap) or len(sentence.measures) != 2:
        return
    shares: list[float] = []
    for quantity in lexicon.quantities.values():
        if quantity.unit != whole.dimension or quantity.by_title:
            continue
        for key, listed in quantity.values.items():
            per_gpu = next((k for k in quantity.values if set(k.split()) == set(key.split()) | {"gpu"}), None)
            if per_gpu is None or "gpu" in key:
                continue
            try:
                if any(
                    whole.says(value_of(text, own.values), 0.012)
                    for text in listed
                    if text[:7] not in ("ledger(", "between")
                ):
                    shares += [
                        value_of(text, own.values)
                        for text in quantity.values[per_gpu][:1]
                        if not text.startswith("ledger(")
                    ]
            except (UnknownName, ZeroDivisionError):
                continue
    if not shares:
        return
    from optimizer.auditing.measures import shown

    right = any(part.says(value, 0.02) for value in shares)
    expected = shown(shares[0], whole.dimension)
    subject = own.degrees.label if own.degrees else ""
    if right or not part.hedged:
        reason = f"{subject}: of {whole.text} a GPU has {expected}" + ("." if right else f", not {part.text}.")
        yield _say(sentence, right, reason, part.text, expected, subject, "share on a GPU")
