"""Judges what a report says without a figure to compare: what fits where, which links and number formats a GPU has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.card_features import emulated, formats_had, links_had, rates_had
from optimizer.auditing.claims import subject_claim
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.fitting import cards_needed, fits_on, held_by
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import about
from optimizer.results.audit import Claim


def judge_predicates(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """Fitting, number formats in hardware, and NVLink where there is none."""
    if sentence.has("past"):
        return
    yield from fits_on(sentence, context, own)
    yield from held_by(sentence, context, own)
    yield from _too_fast(sentence, context, own)
    yield from cards_needed(sentence, context, own)
    yield from formats_had(sentence, context, own)
    yield from emulated(sentence, context, own)
    yield from rates_had(sentence, context, own)
    yield from links_had(sentence, context, own)


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
        yield subject_claim(
            sentence, "refuted", reason, own.model.name, "time per token", "≥", f"at least {min(floors):.3g} ms"
        )
