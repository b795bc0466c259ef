"""Judges one amount in two units: ``400 Gbit/s, i.e. 50 GB/s``, ``70,272 bytes, a bit under 69 KiB``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim
from optimizer.auditing.measures import Measure, shown, unit_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_SAME = re.compile(
    r"^\s*\(?\s*(?:=|≈|,?\s*(?:i\.\s?e\.|that is|that's|which is|which are|which equals|which makes|or|or about|sind|ist|font|fait"
    r"|namely|call it|say|equals|is|are|makes|in other words|equivalent to|corresponding to|d\. ?h\.|das sind|das ist|also"
    r"|entspricht|entsprechen|oder|soit|c'est-à-dire|c\.-à-d\.|ou|ce qui fait|équivaut à|équivalent à"
    r"|correspond à)\s*,?)?\s*(?:about|roughly|around|some|approximately|~|≈|rund|etwa|environ)?\s*\(?$",
    re.IGNORECASE,
)

_BRACKET_AFTER_NOUN = re.compile(r"\s(?:\w[\w-]*\s){1,2}\(\s?(?:=|≈|i\.e\.|that is|d\. ?h\.|soit)\s?")
"""``25 Gbit/s Ethernet (= 3.1 GB/s)``."""

_SAME_AFTER_WORDS = re.compile(
    r"\s[^\d,;.()]{2,30},\s(?:so|hence|thus|donc|also|i\.e\.|that is|which is|that's|which makes|das sind|das ist|d\. ?h\.|soit"
    r"|c'est-à-dire)\s(?:about "
    r"|rund |etwa |environ )?",
    re.IGNORECASE,
)
"""``25 Gbit/s am Netz, das sind 3,1 GB/s``."""

_OR_AFTER_WORDS = re.compile(
    r"\s(?:per|a|each|je|pro|par)\s[^\W\d]{2,12},?\s(?:or|oder|ou)\s(?:about\s|rund\s|environ\s)?", re.IGNORECASE
)
"""``400 Gbit/s per node, or 50 GB/s``."""
_BOTH_WAYS = re.compile(
    r"\b(?:both (?:ways|directions)|bidirectional|duplex|beide\w* Richtungen|bidirektional|deux sens|bidirectionnel\w*)\b",
    re.IGNORECASE,
)

_CARRIES = re.compile(
    r",?\s(?:\w+\s){0,2}?(?:exchange|exchanges|see each other at|reach each other at|talk(?: to each other)? at|tauschen"
    r"|échangent|carries|carry|transports?|transporte|moves?|trägt|tragen|transportiert|überträgt|übertragen|bewegt"
    r"|fait passer|véhicule)\s(?:about\s|some\s|rund\s|etwa\s|environ\s|up to\s|bis zu\s|jusqu'à\s)?",
    re.IGNORECASE,
)
"""``a link of 25 Gbit/s carries 3.1 GB/s``: more than that it cannot."""
_EXCHANGE = re.compile(r"\b(?:exchanges?|see each other|reach each other|talk|tauschen|échangent)\b", re.IGNORECASE)
"""What both ends of a link do at its rate; it may carry less."""
_LESS = re.compile(
    r"\b(?:effective\w*|in practice|usable|net|realistic\w*|per (?:GPU|card)|each|effektiv\w*|praktisch|nutzbar\w*|netto"
    r"|je (?:GPU|Karte)|en pratique"
    r"|utile\w*|par carte|only|at least|about half|of which|NVLink|PCIe|memory)\b",
    re.IGNORECASE,
)
"""What is carried may be less than the link's rate."""
_SEVERAL = re.compile(r"\d\s?[×x*]\s?$|\b(?:two|four|eight|zwei|vier|acht|deux|quatre|huit)\b", re.IGNORECASE)

_NEARLY = re.compile(
    r"(?:\s[^\d,;.()]{2,30})?,?\s?\(?(?:which is |that is |das sind |soit )?(?:a (?:bit|little|touch)|slightly|just|etwas|knapp"
    r"|gut|un peu)\s"
    r"(?:under|over|above|below|more than|less than|unter|über|mehr als|weniger als|plus de|moins de)\s",
    re.IGNORECASE,
)
"""``70,272 bytes of cache, a bit under 69 KiB``: the same amount, rounded in words."""


def conversions(sentence: Sentence) -> Iterator[Claim]:
    """``400 Gbit/s, i.e. 50 GB/s``: the same amount in two units."""
    for first, second in zip(sentence.measures, sentence.measures[1:], strict=False):
        if first.dimension != second.dimension or not first.dimension or not first.unit or not second.unit:
            continue
        alike = first.unit.lower() == second.unit.lower() and _bits(first) == _bits(second)
        if first.dimension in ("requests/s", "tokens/s") and len(sentence.measures) == 2:
            yield from _two_periods(sentence, first, second)
            continue
        if alike or first.dimension not in ("bytes", "bytes/s", "ms", "FLOP/s"):
            continue
        gap = sentence.text[first.end : second.start]
        bracket = (
            bool(re.fullmatch(r"\s*\(\s*(?:=|≈|~|about|i\.e\.|or)?\s*", gap))
            and first.dimension == "bytes/s"
            and _bits(first) != _bits(second)
        )
        explicit = bool(_SAME.match(gap)) and bool(re.search(r"[=≈\w]", gap))
        explicit = explicit or bool(_SAME_AFTER_WORDS.fullmatch(gap))
        in_bytes = first.dimension == "bytes/s" and _bits(first) and not _bits(second)
        explicit = explicit or (
            in_bytes and bool(_OR_AFTER_WORDS.fullmatch(gap)) and not _BOTH_WAYS.search(sentence.text)
        )
        explicit = explicit or bool(_BRACKET_AFTER_NOUN.fullmatch(gap))
        if in_bytes and _CARRIES.fullmatch(gap) and not _SEVERAL.search(sentence.text[: first.start]):
            wrong = first.value * 1.02 < second.value or (
                second.value * 1.1 < first.value
                and _EXCHANGE.search(gap)
                and not _LESS.search(sentence.text)
                and not sentence.has("achieved")
            )
            if wrong and not _BOTH_WAYS.search(sentence.text) and not second.hedged:
                expected = _as(first, second)
                reason = f"{first.text} is {expected}, not {second.text}."
                yield figure_claim(sentence, "refuted", reason, second, expected, "unit conversion")
            continue
        if _NEARLY.fullmatch(gap):
            yield from _restated(sentence, first, second)
            continue
        if not (explicit or bracket):
            continue
        if re.search(r"\bor\b|\bou\b|\boder\b|\bis\b|\bare\b", gap) and first.dimension == "ms":
            continue
        if re.search(
            r"(?:[×*÷/+−-]|\d\s?[xX]|\b[xX]|\bmal|\btimes)\s*$", sentence.text[: first.start].rstrip("(")
        ) or re.match(r"\s*(?:[×*÷+−]|/\s?\d|per|/)", sentence.text[second.end :]):
            continue
        right = any(
            second.says(value, 0.012) or first.says(other, 0.012)
            for value in first.values
            for other in second.values
            for value in (value,)
        )
        right = right and any(
            abs(a - b) <= max(sa + sb, 0.012 * max(abs(a), abs(b)))
            for a, sa in zip(first.values, first.steps, strict=True)
            for b, sb in zip(second.values, second.steps, strict=True)
        )
        expected = _as(first, second)
        if right:
            yield figure_claim(
                sentence, "confirmed", f"{first.text} is {expected}.", second, expected, "unit conversion"
            )
        elif explicit and re.search(r"\bor\b|\boder\b|\bou\b", gap) and not _bits_and_bytes(first, second, gap):
            continue
        elif (first.dimension == "bytes/s" and _bits(first) != _bits(second)) or re.search(
            r"=|i\.\s?e|that is|which is|soit|d\. ?h|das sind|entspricht|c'est|equals|équivaut", gap, re.IGNORECASE
        ):
            if first.dimension == "bytes" and re.search(r"[×*÷/+−]", sentence.text):
                continue
            if first.dimension != "bytes/s" and any(
                m.end <= first.start and not re.search(r"[,;:.(]", sentence.text[m.end : first.start])
                for m in sentence.measures
            ):
                continue  # "300 tokens at 20 ms = 6 s": a product, and no conversion
            yield figure_claim(
                sentence,
                "refuted",
                f"{first.text} is {expected}, not {second.text}.",
                second,
                expected,
                "unit conversion",
            )


_ARE = re.compile(
    r"[^\d,;.()]{0,24}?,?\s?(?:=|≈|\b(?:is|are|makes?|i\.e\.|that is|or|sind|ist|das sind|also|entspricht|entsprechen|macht|oder"
    r"|sont|font|fait|soit|ou)\b)"
    r"(?:\s(?:about|roughly|rund|etwa|environ))?\s?",
    re.IGNORECASE,
)
_OTHER_PART = re.compile(
    r"\b(?:per|each|every|on|je|pro|jede\w*|par|chaque|sur)\s(?:replica|instance|GPU|card|node|server|Replikat|Karte|Knoten|réplique|carte"
    r"|nœud)\b|\b(?:each|jeweils|chacune?|peak|average|out of|of which)\b",
    re.IGNORECASE,
)


def _two_periods(sentence: Sentence, first: Measure, second: Measure) -> Iterator[Claim]:
    """``6 requests per second are 360 per minute``: one rate by two periods."""
    gap = sentence.text[first.end : second.start]
    if (
        first.unit == second.unit
        or not _ARE.fullmatch(gap)
        or _OTHER_PART.search(sentence.text)
        or sentence.has("negation")
    ):
        return
    right = any(second.says(value, 0.012) for value in first.values)
    if right or not second.hedged:
        times = first.value / second.value if second.value else 0.0
        reason = f"{first.text} and {second.text} are {'one rate' if right else f'not one rate: they differ {times:.3g} times'}."
        yield figure_claim(
            sentence, "confirmed" if right else "refuted", reason, second, shown(first.value, first.dimension), "unit conversion"
        )  # fmt: skip


def _bits_and_bytes(first: Measure, second: Measure, gap: str) -> bool:
    """``200 Gbit/s or 20 GB/s``: one rate in bits and in bytes, and no choice of two."""
    bare = re.fullmatch(r"\s(?:or|oder|ou)\s(?:about\s|rund\s|environ\s)?", gap) or _OR_AFTER_WORDS.fullmatch(gap)
    return bool(bare) and first.dimension == "bytes/s" and _bits(first) and not _bits(second)


def _restated(sentence: Sentence, first: Measure, second: Measure) -> Iterator[Claim]:
    """An amount and what it is "a bit under" or "just over" in another unit."""
    if first.dimension not in ("bytes", "bytes/s"):
        return
    near = any(abs(a - b) <= 0.1 * max(a, b) for a in first.values for b in second.values)
    expected = _as(first, second)
    reason = f"{first.text} is {expected}" + ("." if near else f", not {second.text}.")
    yield figure_claim(sentence, "confirmed" if near else "refuted", reason, second, expected, "unit conversion")


def _bits(measure: Measure) -> bool:
    return bool(re.match(r"[KMGTk](?:b(?!y)|Bit|bE)", measure.unit))


def _as(first: Measure, second: Measure) -> str:
    """The first amount in the unit of the second."""
    _, factors = unit_of(second.unit)
    return f"{first.value / factors[0]:,.4g} {second.unit}" if factors else shown(first.value, first.dimension)
