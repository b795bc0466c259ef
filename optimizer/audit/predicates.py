"""Judges what a report says without a figure to compare: what fits where, which links and number formats a GPU has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.audit.context import Context
from optimizer.audit.facts import Situation
from optimizer.audit.labels import shortened
from optimizer.audit.measures import shown
from optimizer.audit.result import Claim, Parsed, Verdict
from optimizer.audit.sentences import Sentence
from optimizer.audit.situations import about

_NATIVE = re.compile(
    r"\b(?:native(?:ly)?|tensor[- ]?cores?|hardware support|in hardware|supports?|supported|compute|runs?"
    r"|accelerat\w+|offers?|has|have|not available|unavailable|available|unterstützt|beherrscht|nativ|rechnet"
    r"|Hardware|Tensorkerne|prend en charge|gère|nativement|matériel|exécute|lacks?|without)\b",
    re.IGNORECASE,
)
_LINK = re.compile(r"\bNVLinks?\b|\bNVSwitch\b", re.IGNORECASE)
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


def _fits(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    verbs = [t for t in sentence.terms if t.id("fits")]
    if (
        not verbs
        or not _WEIGHTS.search(sentence.text[: verbs[0].start] or sentence.text)
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
    negated = sentence.has("negation") or bool(
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
    elif negated and all(need < 0.6 * room for need, room in zip(needs, rooms, strict=False)):
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


_FORMAT_WORDS = {"fp8": "fp8", "int8": "int8", "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4", "bf16": "bf16"}


def _formats(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    named = [(t, _FORMAT_WORDS[id]) for t in sentence.terms if (id := t.id("precisions")) in _FORMAT_WORDS]
    if len({name for _, name in named}) != 1 or len(sentence.gpus) != 1 or not sentence.gpus[0].facts:
        return
    if (
        not _NATIVE.search(sentence.text)
        or sentence.measures
        or sentence.has("hypothetical")
        or re.search(
            r"\b(?:weights?|weight-only|memory|storage|cache|Gewichte|poids|emulat\w+|Marlin|dequant\w+)\b",
            sentence.text,
            re.IGNORECASE,
        )
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
