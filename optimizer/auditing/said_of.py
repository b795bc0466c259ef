"""What a rate is said of: the number format of a peak, one direction of a link."""

from __future__ import annotations

import re

from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

PEAKS = {"fp16": "peak_fp16", "bf16": "peak_bf16", "fp8": "peak_fp8", "int8": "peak_int8", "fp4": "peak_fp4"}
"""The fact of each format that tensor cores compute in."""
_MARK = re.compile(r"[,;:]\s|\s[|–—]\s")
_ONE_WAY = re.compile(
    r"\b(?:each|per|one|every|either|a single)[\s-](?:direction|way)\b|\bone-way\b|\bunidirectional\w*"
    r"|\b(?:je|pro|jede[rn]?|eine[rn]?)\sRichtung\b"
    r"|\b(?:par|chaque|un seul|dans un)\ssens\b|\bunidirectionnel\w*",
    re.IGNORECASE,
)


def formats_said(sentence: Sentence, measure: Measure) -> list[str]:
    """Formats with a peak that the clause of a figure names, or else its sentence."""
    for span in (_part(sentence.text, measure), sentence.clause(measure.start), (0, len(sentence.text))):
        found = [id for term in sentence.terms_in(*span) if (id := term.id("precisions")) in PEAKS]
        if found:
            return list(dict.fromkeys(found))
    return []


def _part(text: str, measure: Measure) -> tuple[int, int]:
    """What stands between the commas around a figure."""
    start = max((m.end() for m in _MARK.finditer(text, 0, measure.start)), default=0)
    end = _MARK.search(text, measure.end)
    return start, end.start() if end else len(text)


def peaks_said(sentence: Sentence, measure: Measure, names: dict[str, float]) -> dict[str, float]:
    """The facts without the peaks of formats that are not meant: "FP8 peak, dense" is not that of FP4."""
    said = formats_said(sentence, measure) if measure.dimension == "FLOP/s" else []
    if not said:
        return names
    kept = {PEAKS[one] for one in said} | ({"peak"} if {"bf16", "fp16"} & set(said) else set())
    return {name: value for name, value in names.items() if name in kept or not re.match(r"peak(?:_|$)", name)}


def is_one_way(sentence: Sentence, measure: Measure) -> bool:
    """Whether a rate is said of one direction: "64 GB/s in each direction"."""
    start, end = sentence.clause(measure.start)
    return measure.dimension == "bytes/s" and bool(_ONE_WAY.search(sentence.text, start, end))
