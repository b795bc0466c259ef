"""Arithmetic in words and in other number formats as English symbols: ``36 minus 24 leaves 12`` is ``36 - 24 = 12``."""

from __future__ import annotations

import re

from optimizer.auditing.measures import measures

_OPERATORS = (
    (
        r"(?:divided by|geteilt durch|durch|divisé(?:e|s|es)? par|split over|spread over|split (?:across|between)"
        r"|over(?!\s\d[\d,.]*\s?(?:days?|hours?|weeks?|months?|years?|h|minutes?|seconds?)\b)|réparti(?:e|s|es)? sur|verteilt auf)",
        "÷",
    ),
    (r"(?:multiplied by|times|mal|multipliziert mit|multiplié(?:e|s|es)? par|fois)", "×"),
    (r"(?:minus|less|moins|weniger|abzüglich)", "-"),
    (r"(?:plus|zuzüglich)", "+"),
)
_EQUALS = (
    r"(?:makes?|gives?|yields?|equals?|is|are|leaves?|comes? to|amounts? to|adds? up to|results? in|totals?"
    r"|sums? to|ergibt|ergeben|ist|sind|macht|machen|bleiben|bleibt"
    r"|donnent?|font|fait|est|sont|reste|restent|laisse|laissent|soit|i\.e\.|d\.\s?h\.|that is)"
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_POWER_OF_TEN = re.compile(r"(?<![\w.,])(\d[\d.,]*)\s?[·×x*]\s?10(?:\^(-?\d{1,2})|([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))(?![\w.])")
"""``8.19·10⁹``, ``8.19 × 10^9``: one number."""
_WORDS = r"(?:\s(?:of\s)?[A-Za-zÀ-ÿ'’/]+){0,4}?"


def plain_arithmetic(text: str, language: str) -> str:
    """A text with English number formats, and signs for the words of a calculation between two figures."""
    written = in_english(text, language) if language != "en" else text
    written = _POWER_OF_TEN.sub(lambda m: f"{m[1]}e{(m[2] or m[3]).translate(_RAISED)}", written)
    written = re.sub(r"(?<=\d)\s?/\s?s(?=\s?[·×*]\s?\d)", "", written)  # "1/s · 60 s": the units cancel
    written = re.sub(r"\b(prompt|total|length|output|input|sum|size|length|mean) of (?=\d)", r"\1 ", written)
    written = re.sub(r"(\d\s?%)\s(?:of|von|der|de|des|d')\s?(?:the |the available |les )?(?=\d)", r"\1 × ", written)
    written = re.sub(r"(?<![\w.,])(0?\.\d+)\s(?:of|von|der|de|des)\s(?:the |its |den |les )?(?=\d)", r"\1 × ", written)
    for pattern, sign in _OPERATORS:
        written = re.sub(rf"(?<=[\dBo%s])({_WORDS})\s{pattern}\s(?=\d)", rf"\1 {sign} ", written, flags=re.IGNORECASE)
    # A verb is an equals sign only behind an operation.
    return re.sub(
        rf"((?:[÷×+]|\s-\s)\s?\d[\d,.]*\s?[A-Za-z%/]*(?:\s(?:of\s)?[A-Za-zÀ-ÿ'’]+){{0,3}}?),?\s{_EQUALS}\s(?:about "
rf"|around |roughly |rund |etwa |environ )?(?=\d)",
        r"\1 = ", written, flags=re.IGNORECASE,
    )  # fmt: skip


def in_english(text: str, language: str) -> str:
    """A text with its numbers and byte units as English writes them."""
    parts, at = [], 0
    for one in measures(text, language):
        if one.word:
            continue
        number = re.sub(r"[\s\u00a0\u2009\u202f'’]", "", one.number)
        if re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", number):
            number = number.replace(".", "").replace(",", ".")
        elif re.fullmatch(r"\d+,\d+", number) and (
            language in ("de", "fr") or not re.fullmatch(r"\d{1,3}(?:,\d{3})+", number)
        ):
            number = number.replace(",", ".")
        place = text.find(one.number, one.start)
        parts.append(text[at:place] + number)
        at = place + len(one.number)
    return re.sub(r"\b([KMGT])(i?)o\b", r"\1\2B", "".join([*parts, text[at:]]))
