"""What a figure plainly is by its place: an operand of a calculation, some of a count, or a size that says what cards are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

_OPERATOR_BEFORE = re.compile(r"(?:[×✕·*÷/+−^]|\b[xX]|(?<=[\d)])\s[-–]|\bminus|\bplus|\btimes|\bmal)\s*\(?$")

_OPERATOR_AFTER = re.compile(
    r"^[^\d=≈]{0,18}?(?:\)\s*)?\s?(?:[×✕*÷+^]|[xX](?=\s?\d)|(?<!\w)/(?=\s?\(?\d)|·(?=\s?\(?\d[^=≈]*[=≈])"
    r"|[−–-]\s\d|\bminus\b|\bplus\b|\btimes\b|\bdivided by\b)"
)


def is_operand(text: str, measure: Measure) -> bool:
    """Whether a figure is part of a calculation that is written out."""
    return bool(_OPERATOR_BEFORE.search(text[: measure.start]) or _OPERATOR_AFTER.match(text[measure.end :]))


def not_taken(sentence: Sentence, taken: set[str]) -> Iterator[Measure]:
    """The figures that no claim states and no calculation holds; of those written twice each may be meant."""
    for measure in sentence.measures:
        repeated = sum(other.text == measure.text for other in sentence.measures) > 1
        if (measure.text not in taken or repeated) and not is_operand(sentence.text, measure):
            yield measure


_OF_CARD = re.compile(
    r"\d\s(?:GPUs|cards|accelerators|Karten|cartes|GPU)\s(?:of|with|zu je|à|de|mit je|mit)\s$|\b(?:two|three|four|five|six"
    r"|seven|eight|zwei|drei|vier"
    r"|acht|deux|trois|quatre|huit|single|one|une|eine)\s(?:GPUs?|cards?|accelerators?|Karten?|cartes?)\s(?:of|with|zu je|à"
    r"|de|mit je|mit)\s$",
    re.IGNORECASE,
)
_KIND_OF_CARD = re.compile(
    r"[\s-](?:GPUs?|cards?|accelerators?|Karten?|cartes?)\b(?!\s(?:memory|RAM|Speicher|mémoire))", re.IGNORECASE
)
"""``two 80 GB cards``, ``zwei 80-GB-GPUs``: what cards they are, and no size of anything on them."""


def is_of_cards(sentence: Sentence, measure: Measure) -> bool:
    """Whether a size stands behind the cards that have it: ``four cards of 80 GB``."""
    return bool(
        _OF_CARD.search(sentence.text[: measure.start])
        or (
            sentence.has("fits")
            and any(
                re.fullmatch(r"s?\s(?:with|mit|de|of|à|zu)\s", sentence.text[g.end : measure.start])
                for g in sentence.gpus
            )
        )
    )


def is_part_of_count(sentence: Sentence, measure: Measure) -> bool:
    """Whether a number is some of another one: ``two of eight experts``."""
    return any(
        other.start > measure.end
        and not other.dimension
        and _SOME_OF.fullmatch(sentence.text[measure.end : other.start])
        for other in sentence.measures
    )


def is_whole_of_count(sentence: Sentence, measure: Measure) -> bool:
    """Whether a number is what another one is some of: ``eight of the twelve GPUs``."""
    return any(
        other.end < measure.start
        and not other.dimension
        and _SOME_OF.fullmatch(sentence.text[other.end : measure.start])
        for other in sentence.measures
    )


_SOME_OF = re.compile(
    r"\s(?:(?:out\s)?of|from|among|von|aus|der|des|de|parmi|sur)\s(?:the\s|its\s|all\s|our\s|these\s|den\s|ihren\s|les\s|ses\s|ces\s|nos\s)?",
    re.IGNORECASE,
)


def is_kind_of_card(sentence: Sentence, measure: Measure) -> bool:
    """Whether a size says what cards are: ``four cards of 80 GB``, ``two 80 GB cards``."""
    return is_of_cards(sentence, measure) or cards_behind(sentence, measure)


def cards_behind(sentence: Sentence, measure: Measure) -> bool:
    """Whether cards of that size are named right behind it: ``two 80 GB cards``."""
    return bool(_KIND_OF_CARD.match(sentence.text[measure.end :]))
