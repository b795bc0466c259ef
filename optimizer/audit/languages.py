"""Which language a line is written in, by its small words: number formats and words depend on it."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+")
_SMALL = {
    "de": (
        "der die das und mit wir auf je pro von den dem des ein eine eines einer einem einen sind ist bei für zu sich nicht werden beträgt jede jeder"
        " jedes jedem jeden im zum zur zusammen davon also liegen liegt belegt belegen benötigt hat haben wiegt rechnet rechnen zwischen innerhalb über"
        " wird nach aus als es damit karte karten gewichte gewichten speicher schichten anfragen modell bis rund etwa"
    ),
    "fr": (
        "le la les des du de et par sur avec un une est sont pour chaque dans nous soit donc au aux ce cette qui il elle ils elles poids couches jeton"
        " jetons requêtes mémoire réplique répliques modèle carte cartes à en entre côté plus que ne pas"
    ),
    "en": (
        "the of and is are with per we each for to at that has have a by from this these it its uses use tokens weights memory layers requests model"
        " cards card between within not would so than over half"
    ),
}
SMALL = {name: frozenset(words.split()) for name, words in _SMALL.items()}


def scores(text: str) -> dict[str, int]:
    """Small words of each language in a text."""
    found = [word.casefold() for word in _WORD.findall(text)]
    return {name: sum(word in words for word in found) for name, words in SMALL.items()}


def languages_of(lines: list[str]) -> list[str]:
    """The language of each line: its own words count most, those of the lines around it where they do not tell."""
    counted = [scores(line) for line in lines]
    chosen = []
    for place, own in enumerate(counted):
        total = {name: 4.0 * own[name] for name in SMALL}
        for distance in range(1, 5):
            for other in (place - distance, place + distance):
                if 0 <= other < len(counted):
                    for name in SMALL:
                        total[name] += counted[other][name] / distance
        best = max(total, key=lambda name: (total[name], name == "en"))
        chosen.append(best if total[best] else "en")
    return chosen
