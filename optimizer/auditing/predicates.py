"""Judges what a report says without a figure to compare: what fits where, which links and number formats a GPU has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import shown
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import about
from optimizer.results.audit import Claim, Parsed, Verdict

_NATIVE = re.compile(
    r"\b(?:native(?:ly)?|tensor[- ]?cores?|hardware support|in hardware|supports?|supported|compute|runs?"
    r"|accelerat\w+|offers?|has|have|not available|unavailable|available|unterstützt|beherrscht|nativ|rechnet"
    r"|Hardware|Tensorkerne|prend en charge|gère|nativement|matériel|exécute|lacks?|without|knows?|calculates?|computes?"
    r"|kennt|kann|calcul\w*|sait"
    r"|connaît|cœurs? tenseurs?|dispose)\b",
    re.IGNORECASE,
)
_LINK = re.compile(r"\bNVLink(?:s|ed)?\b|\bNVSwitch\b", re.IGNORECASE)
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


def judge_predicates(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """Fitting, number formats in hardware, and NVLink where there is none."""
    if sentence.has("past"):
        return
    yield from _fits(sentence, context, own)
    yield from _held(sentence, context, own)
    yield from _too_fast(sentence, context, own)
    yield from _cards_needed(sentence, context, own)
    yield from _formats(sentence, context, own)
    yield from _links(sentence, context, own)


def _claim(
    sentence: Sentence,
    verdict: Verdict,
    reason: str,
    subject: str,
    quantity: str,
    relation: str,
    expected: str | None = None,
) -> Claim:
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, None, expected,
        Parsed(subject, quantity, None, "", relation),
    )  # fmt: skip


_HOLDS_IT = re.compile(
    r"\b(?P<count>a pair of|a single|one|single|two|three|four|eight|ein(?:e|zelne)?|eine einzelne|zwei|vier|acht|une seule|un seul"
    r"|une|un|deux|quatre|huit|\d{1,2})\s"
    r"(?:(?:these|those|such|our|of these|of those|\w+)\s)?(?P<cards>GPUs?|cards?|accelerators?|Karten?|cartes?"
    r"|[ABHL]\d{1,3}S?s?)\s(?:can|could|would|will|is able to"
    r"|kann|können|könnte|peut|peuvent)?\s?(?P<not>not\s|cannot\s)?"
    r"(?:easily |just |still |alone |allein |problemlos )?(?:holds?|stores?|suffices?|(?:is|are) (?:enough|sufficient)|reicht|reichen"
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


def _held(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    found = _HOLDS_IT.search(sentence.text)
    if (
        not found
        or _CACHE.search(sentence.text)
        or [t for t in sentence.terms if t.id("fits")]
        or any(m.dimension for m in sentence.measures)
        or sentence.strategies
        or not _OF_MODEL.search(sentence.text[found.start() :])
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
    how = f"{name}: the weights take {shown(needs[0], 'bytes')}, {cards} offer {shown(rooms[0], 'bytes')}"
    if len(set(fits)) == 1 and fits[0] != negated:
        yield _claim(
            sentence, "confirmed", how + ".", meant.situations[0].model.name, "weights", ">" if negated else "≤"
        )
    elif len(set(fits)) == 1 and (not fits[0] or needs[0] < 0.8 * rooms[0]):
        yield _claim(sentence, "refuted", how + ".", meant.situations[0].model.name, "weights", ">" if negated else "≤")


def _fits(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
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
    easily = re.search(
        r"\b(?:ohne [Ww]eiteres|ohne Probleme|without (?:a )?(?:problem|trouble|effort)s?|sans (?:problème"
        r"|peine|difficulté))\b",
        sentence.text,
    )
    denied = [
        t for t in sentence.terms if t.id("negation") and not (easily and easily.start() <= t.start < easily.end())
    ]
    negated = bool(denied) or bool(
        re.search(r"\b(?:too (?:large|big)|barely|hardly|kaum|à peine|almost|nearly)\b", sentence.text)
    )
    tight = re.search(r"\b(?:barely|hardly|kaum|à peine|almost|nearly)\b", sentence.text)
    if tight:
        return
    needs = [one.values["weights"] for one in meant.situations if "weights" in one.values]
    if not needs:
        return
    rooms = []
    for one in meant.situations:
        room = max(sizes[0].values) if sizes else max(one.values["memory"], one.values["nominal_memory"])
        rooms.append(room * number)
    fits = [need <= room for need, room in zip(needs, rooms, strict=False)]
    where = f"{shown(rooms[0], 'bytes')} of {number:,.0f} GPU{'s' if number != 1 else ''}"
    how = f"{meant.situations[0].model.name}: the weights take {shown(needs[0], 'bytes')}"
    if not negated and not any(fits):
        yield _claim(
            sentence, "refuted", f"{how}, more than the {where}.", meant.situations[0].model.name, "weights", "≤", where
        )
    elif negated and all(need < 0.8 * room for need, room in zip(needs, rooms, strict=False)):
        yield _claim(
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
        yield _claim(
            sentence,
            "confirmed",
            f"{how}, {word} the {where}.",
            meant.situations[0].model.name,
            "weights",
            ">" if negated else "≤",
            where,
        )


_WHOLE_STEP = re.compile(
    r"\b(?:per token|per output token|each token|a token|decode step|decoding step|step|pro Token|je Token"
    r"|Dekodierschritt|par jeton|étape de décodage|TPOT)\b",
    re.IGNORECASE,
)
_PART_OF_STEP = re.compile(
    r"\b(?:all-?reduce|communication|network|NVLink|PCIe|overhead|sampling|schedul\w+|queue|prefill|attention"
    r"|cache|kernels?|layers?|stages?|margin|jitter|slower|faster|target|limit|goal|Ziel|Grenze"
    r"|objectif|limite|speculat\w*|draft|MTP|EAGLE|must|would|if|saves?|first token)\b",
    re.IGNORECASE,
)


def _too_fast(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """A time per token that is shorter than reading the active weights once takes."""
    times = [m for m in sentence.measures if m.dimension == "ms"]
    if (
        len(times) != 1
        or not _WHOLE_STEP.search(sentence.text)
        or _PART_OF_STEP.search(sentence.text)
        or own.degrees is None
    ):
        return
    if (
        sentence.has("negation")
        or sentence.has("other")
        or any(m.dimension in ("bytes", "bytes/s") for m in sentence.measures)
    ):
        return
    meant = about(sentence, (0, len(sentence.text)), context, own)
    floors = []
    for one in meant.situations:
        known = one.values
        if one.degrees is None or "bandwidth" not in known or not one.own_model:
            return
        read = known["weights"] * (known["active"] - one.model.embedding_parameters) / known["parameters"]
        floors.append(read / max(one.degrees.tp, one.degrees.ep) / known["bandwidth"] * 1e3)
    if floors and times[0].value < 0.8 * min(floors):
        where = f"with {own.degrees.label} on {own.gpu.name}"
        reason = f"Every token reads the active weights once: {where} that takes {min(floors):.3g} ms, more than {times[0].text}."
        yield _claim(
            sentence, "refuted", reason, own.model.name, "time per token", "≥", f"at least {min(floors):.3g} ms"
        )


_NEEDS = re.compile(
    r"\b(?:needs?|requires?|required|needed|necessary|takes?|nötig|braucht|bräuchte|benötigt|erforderlich"
    r"|nécessit\w+|faut|faudrait|requiert|minimum)\b",
    re.IGNORECASE,
)


def _cards_needed(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
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
        yield _claim(sentence, "confirmed", reason + ".", one.model.name, "GPUs needed", "≥", f"{right:,.0f}")
    elif number * room * 1.07 < weights and not sentence.has("negation"):
        yield _claim(
            sentence, "refuted", f"{reason}, not {number:,.0f}.", one.model.name, "GPUs needed", "≥", f"{right:,.0f}"
        )


_IN_HARDWARE = re.compile(
    r"\b(?:natively|native|nativ|in hardware|in Hardware|nativement|tensor[- ]cores?|Tensorkerne)\b", re.IGNORECASE
)
_OF_THE_CARD = re.compile(
    r"\W*(?:it|they|the (?:card|GPU|accelerator)s?|th[eo]se (?:cards|GPUs)|our (?:cards|GPUs)|die (?:Karten?|GPUs?)|sie|la carte"
    r"|les (?:cartes|GPU)|elles?)\s",
    re.IGNORECASE,
)
_THESE_CARDS = re.compile(
    r"\b(?:these|those|our|the|diesen?|unseren?|den|ces|nos|les)\s(?:cards|GPUs?|accelerators|Karten|GPUs|cartes)\b",
    re.IGNORECASE,
)
_OF_STORAGE = re.compile(r"\b(?:weights?|memory|storage|cache|Gewichte|poids)\b", re.IGNORECASE)
_WITHOUT_HARDWARE = re.compile(
    r"\b(?:weight-only|emulat\w+|Marlin|dequant\w+|only stored|nur gespeichert)\b", re.IGNORECASE
)
"""Ways to use a format that the tensor cores do not have."""
_FORMAT_WORDS = {"fp8": "fp8", "int8": "int8", "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4", "bf16": "bf16"}


def _formats(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    named = [(t, _FORMAT_WORDS[id]) for t in sentence.terms if (id := t.id("precisions")) in _FORMAT_WORDS]
    if len({name for _, name in named}) != 1 or len(sentence.gpus) > 1:
        return
    if not sentence.gpus and not (
        (_OF_THE_CARD.match(sentence.text) or _THESE_CARDS.search(sentence.text))
        and context.speaks_of_gpu(sentence.statement)
        and not sentence.models
    ):
        return
    if sentence.gpus and not sentence.gpus[0].facts:
        return
    if (
        not _NATIVE.search(sentence.text)
        or sentence.measures
        or (
            any(t.id("hypothetical") and t.text.casefold() != "option" for t in sentence.terms)
            and not (sentence.gpus and _IN_HARDWARE.search(sentence.text))
        )
        or _WITHOUT_HARDWARE.search(sentence.text)
        or (_OF_STORAGE.search(sentence.text) and not _IN_HARDWARE.search(sentence.text))
    ):
        return
    _term, name = named[0]
    meant = about(sentence, (0, len(sentence.text)), context, own)
    have = {name in one.gpu.dense_tflops for one in meant.situations}
    if len(have) != 1:
        return
    has, gpu = have.pop(), meant.situations[0].gpu.name
    denied = sentence.has("negation")
    listed = ", ".join(key.upper() for key in meant.situations[0].gpu.dense_tflops)
    reason = f"{gpu} computes in {listed}{'' if has else f', not in {name.upper()}'}."
    yield _claim(
        sentence,
        "confirmed" if has != denied else "refuted",
        reason,
        gpu,
        f"compute in {name.upper()}",
        "has not" if denied else "has",
        listed,
    )


_NO_NVLINK = re.compile(
    r"\b(?:(?:cards?|GPUs?|[ABHL]\d{2,3}S?(?: SXM\d?)?|MI\d{3}X?|it|they)\s(?:have|has|offers?|come with|comes with)\sno NVLink"
    r"|(?:Karten?|GPUs?|[ABHL]\d{2,3}S?)\s(?:hat|haben)\skein NVLink|(?:n'a|n'ont) pas (?:de |d')?NVLink)\b(?!\s(?:bridge|switch"
    r"|between|across|zwischen|entre))",
    re.IGNORECASE,
)


def _links(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    if not _LINK.search(sentence.text) or sentence.has("hypothetical"):
        return
    meant = about(sentence, (0, len(sentence.text)), context, own)
    if not meant.situations or (sentence.has("other") and re.search(r"\butili[sz]", sentence.text)):
        return
    denied = sentence.has("negation") or bool(
        re.search(
            r"\binstead of NVLink|rather than NVLink|statt NVLink|au lieu de NVLink", sentence.text, re.IGNORECASE
        )
    )
    if _NO_NVLINK.search(sentence.text) and all(one.nvlink_gb_per_s for one in meant.situations):
        gpu, rate = meant.situations[0].gpu.name, meant.situations[0].nvlink_gb_per_s
        yield _claim(
            sentence, "refuted", f"{gpu} has NVLink, {rate:g} GB/s.", gpu, "NVLink", "has not", f"{rate:g} GB/s"
        )
        return
    without = all(one.nvlink_gb_per_s == 0 for one in meant.situations)
    gpu = meant.situations[0].gpu.name
    if without:
        verdict: Verdict = "confirmed" if denied else "refuted"
        yield _claim(
            sentence,
            verdict,
            f"{gpu} has no NVLink; its GPUs reach each other over PCIe.",
            gpu,
            "NVLink",
            "has not" if denied else "has",
            "none",
        )
