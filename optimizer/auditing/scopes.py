"""What a figure is said per: ``per GPU``, ``on each card``, ``a token``, ``/stage``; or of all together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

_PLACE = re.compile(r"\b(?:within|inside|innerhalb|in|im|dans|intérieur d)\W{0,2}$", re.IGNORECASE)
"""Before an article these name a place: "within a server" is not per server."""
_TOKENS_BEHIND = re.compile(r"[\s-]*(?:tokens?|jetons?)\b", re.IGNORECASE)
_EACH_BEHIND = re.compile(r"^\W{0,3}(?:each|apiece|chacun|chacune|jeweils)\b", re.IGNORECASE)

_AGAIN = re.compile(
    r"\b(?:each one|each of (?:them|these|those)|every one|jede[rs]? (?:davon|von ihnen)|(?:pour )?chacune?)\b",
    re.IGNORECASE,
)
_ONE_OF = re.compile(
    r"\b(?:one|each|any|some|two|eine[rs]?|jede[rs]?|un|une|l'un|l'une|chacune?)\s(?:of|der|des|von|de)\s(?:the\s|its\s|our\s|den\s|les\s|ses\s)?$",
    re.IGNORECASE,
)
"""``one of the four KV heads``: how many there are in all."""
_HOLDERS = frozenset({"gpu", "node", "replica", "stage"})
_GOES_ON = re.compile(r"\b(?:and|und|et|as well as|sowie|ainsi que|plus)\s+$", re.IGNORECASE)
"""``each card holds 2 heads and 64 KiB of cache per token``: the card may be meant in both halves."""


@dataclass(frozen=True, slots=True)
class Scope:
    """``ids`` are objects the figure is per; ``total``: of all; ``loose``: it may as well be of something else."""

    ids: frozenset[str]
    total: bool
    loose: bool


def scope_of(sentence: Sentence, measure: Measure, span: tuple[int, int]) -> Scope:
    """The scope of a figure, from its clause; what the rest of the sentence says is only possible, not certain."""
    found = _objects(sentence, *span)
    rivals = [
        m
        for m in sentence.measures
        if span[0] <= m.start < span[1]
        and m != measure
        and sentence.clause(m.start) == span
        and not _TOKENS_BEHIND.match(sentence.text[m.end :])
    ]
    total = bool(sentence.terms_in(*span, "total"))
    loose = False
    if _ONE_OF.search(sentence.text[: measure.start]):
        return Scope(frozenset(), True, True)
    if rivals and found:
        near = [
            (place, ids)
            for place, ids in found
            if not any(min(place, measure.start) < m.start < max(place, measure.start) for m in rivals)
        ]
        after = [place for place, _ in found if place > measure.end and any(m.start > place for m in rivals)]
        far = [
            p
            for p in after
            if len(sentence.text[measure.end : p].split()) > 3 or sentence.terms_in(measure.end, p, "results")
        ]
        loose = (
            bool(far)
            or len(near) < len(found)
            or bool(re.match(r"\s*(?:of|der|des|sur)\b", sentence.text[measure.end :]))
        )
        part = re.search(
            r"\b(?:of|der|des|sur|von|aus)\s+(?:the\s+|its\s+|les\s+|den\s+|ihren\s+|our\s+|all\s+)?$",
            sentence.text[: measure.start],
            re.IGNORECASE,
        )
        if part and rivals:
            return Scope(frozenset(), True, True)
    if found and all(place > measure.end for place, _ in found):
        # "141 GB in bf16, so one card …": what comes behind a comma may speak of something else.
        loose = loose or all(re.search(r"[,;]\s", sentence.text[measure.end : place]) for place, _ in found)
    if found and all(place < measure.start for place, _ in found):
        # "TP8 on each node, two replicas": and what stands before one of something else.
        last = max(place for place, _ in found)
        loose = loose or bool(re.search(r"[,;]\s(?:\w+\s)?$", sentence.text[last : measure.start]))
    ids = frozenset(id for _, listed in found for id in listed)
    if not ids and total and span[0]:
        return Scope(frozenset(), True, False)  # "…, 96 in all": a clause that says of what it is
    if not ids:
        elsewhere = _objects(sentence, 0, span[0]) if span[0] else []
        return (
            Scope(frozenset(id for _, listed in elsewhere for id in listed), total, True)
            if elsewhere
            else Scope(frozenset(), total, False)
        )
    subject = (
        frozenset(id for _, listed in _objects(sentence, 0, min(span[0], sentence.measures[0].start)) for id in listed)
        & _HOLDERS
        if span[0]
        else frozenset()
    )
    if subject - ids and _GOES_ON.search(sentence.text[: span[0]]):
        return Scope(ids | subject, total, True)
    return Scope(ids, total, loose or bool(_EACH_BEHIND.match(sentence.text[measure.end :])))


_SAME = re.compile(r"\b(?:same|gleichen|selben|desselben|derselben|demselben|même)\s$", re.IGNORECASE)
_FITS_ON = re.compile(
    r"\b(?:fits?|fitting|passt|passen|tient|tiennent|tenir)\s(?:comfortably |easily |just )?(?:on|onto|into|in|inside|auf|sur|dans)"
    r"\s(?:a |one |an |eine[rn]? |eine |une )?(?:single |einzige[nr]? |seule )?$",
    re.IGNORECASE,
)


def _objects(sentence: Sentence, start: int, end: int) -> list[tuple[int, tuple[str, ...]]]:
    """Objects that something is said per in a span, with their places."""
    text = sentence.text
    found: list[tuple[int, tuple[str, ...]]] = []
    marks = [t for t in sentence.terms_in(start, end) if t.id("per") or t.id("articles")]
    targets = [(t.start, t.end, t.ids("objects")[:1]) for t in sentence.terms_in(start, end, "objects")]
    for again in _AGAIN.finditer(text, start, end):
        named = [t.ids("objects")[:1] for t in sentence.terms_in(0, again.start(), "objects")]
        if named and named[-1][0] in _HOLDERS:
            found.append((again.start(), named[-1]))  # "eight cards, and each one carries": what was spoken of last
    targets += [(g.start, g.end, ("gpu",)) for g in sentence.gpus if start <= g.start and g.end <= end]
    targets.sort()
    for place, (a, b, ids) in enumerate(targets):
        before = [t for t in marks if t.end <= a]
        gap = text[before[-1].end : a] if before else "x x x x"
        words = re.findall(r"\w+", gap)
        certain = bool(before and before[-1].id("per"))
        if before and not certain and ids and ids[0] in ("node", "replica") and _PLACE.search(text[: before[-1].start]):
            continue
        if _FITS_ON.search(text[:a]):
            continue  # "70 GB, which fit on one card": where it goes, and not what it is per
        if re.search(r"\b(?:all|alle[nr]?|tous|toutes|whole|entire)\s(?:the\s|les\s|\d+\s)?$", text[:a], re.IGNORECASE):
            continue  # "over all layers" is the whole
        if _SAME.search(text[:a]):
            continue  # "within the same server" is a place
        close = before and (len(words) <= (2 if certain else 1)) and not re.search(r"[,;:.]", gap)
        if before and certain and re.match(r"\s*(?:of|von|de)\b", gap) and len(words) <= 5:
            close = True
        if not close and re.search(r"/\s?$", text[:a]):
            close = not re.search(r"\d\s*/\s?$", text[:a])
        if not close and found and place and found[-1][0] == targets[place - 1][0]:
            joined = text[targets[place - 1][1] : a]
            close = bool(
                re.fullmatch(r"\s*(?:and|und|et|&|,|/|per|pro|je|par)\s*(?:per|pro|je|par|each|for each)?\s*", joined)
            )
        if not close and re.match(r"\s*(?:each|apiece)\b", text[b:]):
            close = True
        if close:
            found.append((a, ids))
    return found
