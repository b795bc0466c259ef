"""Whether a product that does not come out may be called wrong."""

from __future__ import annotations

import re

from optimizer.auditing.dimensions import Typed
from optimizer.auditing.implied_units import RUNNING
from optimizer.auditing.lexicon import Term
from optimizer.auditing.measures import Measure
from optimizer.auditing.own_counts import FOR_ALL
from optimizer.auditing.sentences import Sentence

_SO_MANY = re.compile(r"(?:[=(]|→|->|,\s(?:soit|also|i\.e\.|that is))\s*$", re.IGNORECASE)


def may_refute(sentence: Sentence, measure: Measure, result: Typed, operands: list[Typed]) -> bool:
    text = sentence.text
    if not sentence.firm or re.search(r"\d\s*\)?\s*[×✕*÷/+]\s*\(?\d|[×✕÷]", text):
        return False
    if sentence.denies(measure) or re.search(
        r"\b(?:up to|at most|at least|less than|more than|below|above|under|over|bis zu|höchstens|mindestens"
        r"|au plus|au moins|limit|target|instead of|rather than|compared|versus|vs)\b",
        _without_bound(sentence, measure),
        re.IGNORECASE,
    ):
        return False
    if measure.dimension != "ms" and re.search(r"\bfrom\b", text, re.IGNORECASE):
        return False
    if any(one.measure is not None and one.measure.hedged for one in operands):
        return False
    if measure.dimension == "" and "s" not in result.kinds[0]:
        noun = next(iter(result.kinds[0]))
        if noun == "token":
            kinds = [kind for one in operands for kind in one.kinds]
            return {"byte": 1} in kinds and {"byte": 1, "token": -1} in kinds and len(operands) == 2
        if noun == "sequence" and RUNNING.match(text[measure.end :]):
            kinds = [kind for one in operands for kind in one.kinds]
            return {"s": 1} in kinds and any(k.get("request") == 1 and k.get("s") == -1 for k in kinds)
        if noun == "sequence" and re.search(r"=\s*$", text[: measure.start]):
            kinds = [kind for one in operands for kind in one.kinds]
            return {"token": 1} in kinds and {"token": 1, "sequence": -1} in kinds
        # Counted results need the verb of a result right before them; "two replicas on eight GPUs" says nothing of the kind.
        previous = max((m.end for m in sentence.measures if m.end <= measure.start), default=0)
        said = text[previous : measure.start]
        if noun == "gpu" and all(one.measure is not None for one in operands) and _SO_MANY.search(said):
            return True
        return noun == "gpu" and bool(
            re.search(
                r"\b(?:comes? to|come to"
                r"|amounts? to|adds? up to|makes?|gives?|totals?|equals?|is|are|=|needs?|requires?|takes?"
                r"|take|ergeben|ergibt|sind|machen|brauchen"
                r"|benötigen|font|fait|donnent|donne|totalisent|occupy|occupies|would need|would require|in total"
                r"|add up to)\b[^\d]*$",
                text[previous : measure.start],
                re.IGNORECASE,
            )
        )
    if measure.dimension == "bytes" and _is_split(sentence, result, operands):
        return True
    if measure.dimension in ("bytes", "W"):
        return _sum_of_cards(sentence, measure, operands)
    if measure.dimension == "bytes/s":
        return False
    if (
        measure.dimension == "ms"
        and len(operands) == 2
        and any(
            one.measure is not None and one.measure.dimension == "ms" and "token" in kind
            for one in operands
            for kind in one.kinds
        )
    ):
        return any(kind == {"token": 1} for one in operands for kind in one.kinds) and not sentence.has("target")
    if measure.dimension == "ms":
        return (
            sum(m.dimension == "ms" for m in sentence.measures) == 1
            and any(m.dimension == "bytes/s" for m in sentence.measures)
            and sum(m.dimension == "bytes" for m in sentence.measures) == 1
        )
    return True


_CONTENT = re.compile(
    r"\b(?:weights?|cache|model|left|free|remain\w*|used|needs?|Gewicht\w*|Modell|bleib\w*|frei|brauch\w*|poids|modèle|reste\w*|RAM)\b",
    re.IGNORECASE,
)

_TOGETHER = re.compile(
    r"(?:=|→|->|\b(?:together|in total|in all|altogether|makes?|gives?|totals?|total|comes? to|adds? up to|zusammen|insgesamt|macht|ergibt"
    r"|ergeben|sind|au total|en tout|font|fait|soit|donnent)\b)[^\d]{0,24}$",
    re.IGNORECASE,
)


_SPLIT = re.compile(
    r"\b(?:split|spread|divided|shared|distributed|sharded|verteilt|aufgeteilt|geteilt|répartis?|réparties?|divisée?s?|partagée?s?)\b",
    re.IGNORECASE,
)


def _is_split(sentence: Sentence, result: Typed, operands: list[Typed]) -> bool:
    """``split over four cards those 20 GiB are 5 GiB a card``: one size, one count of parts, and the size of a part."""
    if not _SPLIT.search(sentence.text) or sum(m.dimension == "bytes" for m in sentence.measures) != 2:
        return False
    parts = [kind for kind in result.kinds for part in ("gpu", "node") if kind == {"byte": 1, part: -1}]
    sizes = [one for one in operands if {"byte": 1} in one.kinds]
    counts = [one for one in operands if one.measure is not None and any("gpu" in k or "node" in k for k in one.kinds)]
    return bool(parts) and len(sizes) == 1 and len([one for one in counts if one not in sizes]) == 1


def _sum_of_cards(sentence: Sentence, measure: Measure, operands: list[Typed]) -> bool:
    """``eight H100 of 80 GB make 512 GB``: cards, what each has, and their sum; other sizes are the ledger's business."""
    each = [
        one for one in operands if any(kind in ({"byte": 1, "gpu": -1}, {"watt": 1, "gpu": -1}) for kind in one.kinds)
    ]
    counts = [
        one for one in operands if any(kind in ({"gpu": 1}, {"node": 1}, {"gpu": 1, "node": -1}) for kind in one.kinds)
    ]
    previous = max((m.end for m in sentence.measures if m.end <= measure.start), default=0)
    counted = {one.measure for one in counts}
    if re.search(r"\d\s?[x×]\s?\d", sentence.text) or any(
        not m.dimension and m not in counted and m is not measure for m in sentence.measures
    ):
        return False
    per_node = any(one.measure is None and one.kinds == ({"gpu": 1, "node": -1},) for one in counts)
    return (
        len(each) == 1 and bool(counts) and not _CONTENT.search(sentence.text)
        and bool(
            per_node
            or FOR_ALL.search(sentence.text[max(0, measure.start - 16) : measure.start])
            or _TOGETHER.search(sentence.text[previous : measure.start])
            or FOR_ALL.match(sentence.text[measure.end :].lstrip(" ,("))
            or (measure == sentence.measures[-1] and FOR_ALL.search(sentence.text[measure.end :]))
        )
    )  # fmt: skip


_OVER_A_LINK = re.compile(r"\b(?:over|über)\s+(?:the\s|a\s|die\s|das\s)?(?=\d)", re.IGNORECASE)


def _without_bound(sentence: Sentence, measure: Measure) -> str:
    """The sentence without the bound of the result itself, which is compared as such, and without "over 400 Gbit/s"."""
    text, bound = sentence.text, bound_of(sentence, measure)
    if sentence.denied_bound(measure):
        text = text[measure.end :]
    elif bound is not None:
        text = text[: bound.start] + text[bound.end :]
    return _OVER_A_LINK.sub(" ", text) if measure.dimension == "ms" else text


def bound_of(sentence: Sentence, measure: Measure) -> Term | None:
    """The "at least" or "at most" right before a figure."""
    for term in sentence.terms:
        if (
            (term.id("at_least") or term.id("at_most"))
            and term.end <= measure.start
            and not re.sub(
                r"\b(?:about|the|a|some|rund|etwa|environ)\b", "", sentence.text[term.end : measure.start]
            ).strip(" ~≈(")
        ):
            return term
    return None
