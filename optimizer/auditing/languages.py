"""Which language a line is written in, by its small words: number formats and words depend on it."""

from __future__ import annotations

import re
from functools import cache

from optimizer.auditing.lexicon import words

_WORD = re.compile(r"[^\W\d_]+")


@cache
def small_words() -> dict[str, frozenset[str]]:
    """The small words of each language."""
    return {name: frozenset(listed) for name, listed in words()["languages"].items()}


def scores(text: str) -> dict[str, int]:
    """Small words of each language in a text."""
    found = [word.casefold() for word in _WORD.findall(text)]
    return {name: sum(word in small for word in found) for name, small in small_words().items()}


def languages_of(lines: list[str]) -> list[str]:
    """The language of each line: its own words count most, those of the lines around it where they do not tell."""
    counted = [scores(line) for line in lines]
    chosen = []
    for place, own in enumerate(counted):
        total = {name: 4.0 * own[name] for name in small_words()}
        for distance in range(1, 5):
            for other in (place - distance, place + distance):
                if 0 <= other < len(counted):
                    for name in small_words():
                        total[name] += counted[other][name] / distance
        best = max(total, key=lambda name: (total[name], name == "en"))
        chosen.append(best if total[best] else "en")
    return chosen
