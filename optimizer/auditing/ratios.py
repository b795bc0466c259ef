"""Judges percentages between two figures: ``3.1 s is 22.5% below 4 s``, ``23.6 of 40 GB is 59%``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim
from optimizer.auditing.measures import shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_MORE = (
    r"(?P<more>faster|more|higher|above|over|larger|bigger|greater|longer|beyond|better|mehr|schneller|höher"
    r"|größer|über|de plus|plus|supérieure?s?|au-dessus|slower|länger)"
)

_LESS = (
    r"(?P<less>below|under|less|lower|fewer|smaller|shorter|weniger|niedriger|unter|kleiner|kürzer|de moins"
    r"|moins|inférieure?s?|en dessous|au-dessous|sous)"
)

_PERCENT = re.compile(rf"^\s*(?:points?\s)?(?:{_MORE}|{_LESS})\b", re.IGNORECASE)

_FROM_TO = re.compile(r"\b(?:from|von|de)\s$", re.IGNORECASE)

_ROOM = re.compile(
    r"\s*(?:of\s)?(?:headroom|slack|margin|reserve|room|Luft|Spielraum|Reserve|marge|(?:more|less|mehr|weniger|de plus|de moins)\b)"
)


_CHANGE = re.compile(
    r"\b(?:increase|rise|growth|gain|reduction|decrease|drop|saving|Anstieg|Zunahme|Zuwachs|Rückgang|hausse|baisse|augmentation"
    r"|réduction)\s(?:of|by|um|von|de)\s(?:about |some |etwa |rund |environ )?$",
    re.IGNORECASE,
)


def from_to(sentence: Sentence) -> Iterator[Claim]:
    """``Going from 4 to 6 requests/s means 50% more``: the change between two ends."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    ranges = [m for m in sentence.measures if m.high > m.value > 0 and _FROM_TO.search(sentence.text[: m.start])]
    if (
        len(shares) != 1
        or len(ranges) != 1
        or len(sentence.measures) != 2
        or not (_ROOM.match(sentence.text[shares[0].end :]) or _CHANGE.search(sentence.text[: shares[0].start]))
    ):
        return
    share, low, high = shares[0], ranges[0].value, ranges[0].high
    values = [100 * (high / low - 1), 100 * (1 - low / high)]
    right = any(share.says(value) or abs(share.value - value) <= 0.55 for value in values)
    reason = f"From {low:g} to {high:g} is {values[0]:.3g}% more, or {values[1]:.3g}% of the upper end"
    if right or not share.hedged:
        yield figure_claim(
            sentence, "confirmed" if right else "refuted", reason + ("." if right else f", not {share.text}."), share,
            f"{values[0]:.3g}% or {values[1]:.3g}%", "ratio",
        )  # fmt: skip


def percentages(sentence: Sentence) -> Iterator[Claim]:
    """``3.1 s is 22.5% below the limit of 4 s``."""
    for share in sentence.measures:
        found = _PERCENT.match(sentence.text[share.end :]) if share.dimension == "%" else None
        if not found or share.value <= 0:
            continue
        others = [m for m in sentence.measures if m.dimension not in ("%",) and m != share]
        same = [
            m
            for m in others
            if sum(
                (o.dimension == m.dimension and o.unit.lower() == m.unit.lower()) or o.dimension == m.dimension != ""
                for o in others
            )
            == 2
        ]
        if (
            len(same) != 2
            or len(others) != 2
            or not all(m.value for m in same)
            or sum(m.dimension == "%" for m in sentence.measures) > 1
        ):
            continue
        if max(abs(m.start - share.end) for m in same) > 90:
            continue
        a, b = same[0].value, same[1].value
        most, least = max(a, b), min(a, b)
        shares = [100 * (most / least - 1), 100 * (1 - least / most)]
        right = any(share.says(value) or abs(share.value - value) <= 0.55 for value in shares)
        larger, smaller = shown(most, same[0].dimension), shown(least, same[0].dimension)
        text = f"{larger} is {shares[0]:.3g}% more than {smaller}, which is {shares[1]:.3g}% less"
        if right:
            yield figure_claim(sentence, "confirmed", text + ".", share, None, "ratio")
        elif not (share.hedged and any(abs(share.value - v) <= max(2.0, 0.3 * v) for v in shares)) and not sentence.has(
            "negation"
        ):
            yield figure_claim(
                sentence,
                "refuted",
                f"{text}, not {share.text}.",
                share,
                f"{shares[0]:.3g}% or {shares[1]:.3g}%",
                "ratio",
            )


_OF_WHOLE = re.compile(r"\s(?:of|der|von|des|de)\s(?:the |its |its full |their |ihrer |ses |les )?$", re.IGNORECASE)


def share_of(sentence: Sentence) -> Iterator[Claim]:
    """``14.8 GB of weights, 62% of the 24 GB``: a share of a whole, beside the only other size."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    sizes = [m for m in sentence.measures if m.dimension == "bytes"]
    if len(shares) != 1 or len(sizes) != 2 or sentence.has("negation") or sentence.has("hypothetical"):
        return
    share, (part, whole) = shares[0], sizes
    if not (part.end <= share.start and _OF_WHOLE.fullmatch(sentence.text[share.end : whole.start])):
        return
    if not whole.value or re.search(r"[×÷/+]", sentence.text[part.end : share.start]):
        return
    value = 100 * part.value / whole.value
    holds = share.says(value, 0.03)
    if not holds and not 0 < value <= 100:
        return
    reason = f"{part.text} of {whole.text} is {value:.3g}%" + ("." if holds else f", not {share.text}.")
    yield figure_claim(sentence, "confirmed" if holds else "refuted", reason, share, f"{value:.3g}%", "share")


def parts_of(sentence: Sentence) -> Iterator[Claim]:
    """``23.6 of 40 GB`` beside the only percentage of the sentence."""
    shares = [m for m in sentence.measures if m.dimension == "%"]
    if len(shares) != 1:
        return
    share = shares[0]
    if _PERCENT.match(sentence.text[share.end :]):
        return
    for first, second in zip(sentence.measures, sentence.measures[1:], strict=False):
        if share in (first, second):
            continue
        gap = sentence.text[first.end : second.start]
        if (
            not re.fullmatch(
                r"\s*(?:\w+\s)?(?:of|out of|of the|of its|von|der|von den|sur|des)\s(?:the |its |all |les |den )?(?:\w+ )?",
                gap,
            )
            or not second.value
        ):
            continue
        if first.dimension and first.dimension != second.dimension:
            continue
        if not second.dimension and abs(share.start - second.end) > 14 and abs(first.start - share.end) > 8:
            continue
        number = (
            first.in_dimension(
                second.dimension,
                second.value / (float(re.sub(r"[^\d.]", "", second.number.replace(",", ".")) or 1) or 1),
            )
            if not first.dimension and second.dimension
            else first
        )
        value = 100 * number.value / second.value
        if share.says(value, 0.02) or share.says(100 - value, 0.02):
            yield figure_claim(
                sentence,
                "confirmed",
                f"{first.text} of {second.text} is {value:.3g}%.",
                share,
                f"{value:.3g}%",
                "share",
            )
        elif value <= 100 and not sentence.has("negation") and not sentence.has("other"):
            yield figure_claim(
                sentence,
                "refuted",
                f"{first.text} of {second.text} is {value:.3g}%, not {share.text}.",
                share,
                f"{value:.3g}%",
                "share",
            )
        return
