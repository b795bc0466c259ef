"""How much the words around a figure speak for an entry of the ledger: their weights, less the farther away they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optimizer.auditing.measures import Measure
from optimizer.auditing.scored.classes import Word
from optimizer.auditing.scored.entries import LedgerEntry
from optimizer.auditing.sentences import Sentence

NEAR, BESIDE, FAR = 1.0, 0.85, 0.65
OTHER_CLAUSE, BEHIND_RIVAL, EARLIER = 0.7, 0.55, 0.35
"""Factors of words in another clause, beyond another figure of the same unit, and in a heading or the sentence before."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The classified words of a sentence, the classes before it, and what else is true of it ("s_tokens", "hypothetical")."""

    words: tuple[Word, ...]
    earlier: frozenset[str]
    flags: frozenset[str]

    @property
    def classes(self) -> frozenset[str]:
        """Every class that the sentence itself has."""
        return frozenset(name for word in self.words for name in word.classes)


def score(entry: LedgerEntry, sentence: Sentence, measure: Measure, around: Surroundings) -> float:
    """The sum over the entry's classes of weight × nearness; 0 where what it needs is missing or what it excludes is there."""
    here = around.classes | around.flags
    if entry.never & (_near_classes(sentence, measure, around) | around.flags):
        return 0.0
    needed = [one for one in entry.needs if one <= here | around.earlier and (one & here or not one)]
    if not needed or not entry.least <= measure.value <= entry.most:
        return 0.0
    if entry.beside and not any(
        w.classes & entry.beside and is_beside(sentence, measure, w, concluded=True) for w in around.words
    ):
        return 0.0
    if entry.counted and not counts(sentence, measure, around, entry.counted):
        return 0.0
    total = entry.base
    for name, weight in entry.cues.items():
        near = [nearness(sentence, measure, word) for word in around.words if name in word.classes]
        total += weight * max([*near, EARLIER if name in around.earlier else 0.0])
    return total


def nearness(sentence: Sentence, measure: Measure, word: Word) -> float:
    """1 for a word beside the figure, less for one farther away, in another clause, or beyond another figure of the same unit."""
    low, high = (word.end, measure.start) if word.end <= measure.start else (measure.end, word.start)
    between = sentence.text[low:high]
    far = len(between.split())
    factor = NEAR if far <= 4 else BESIDE if far <= 8 else FAR
    if sentence.clause(word.start) != sentence.clause(measure.start):
        factor *= OTHER_CLAUSE
    if any(low <= m.start < high and m.dimension == measure.dimension for m in sentence.measures):
        factor *= BEHIND_RIVAL
    return factor


def is_beside(sentence: Sentence, measure: Measure, word: Word, *, concluded: bool = False) -> bool:
    """Whether a word stands within four words of a figure, with no other figure and no comma between.

    ``concluded``: a comma before "so" counts for none (``PCIe Gen5 x16, so 64 GB/s``).
    """
    low, high = (word.end, measure.start) if word.end <= measure.start else (measure.end, word.start)
    between = re.sub(r"\s*:\s*$", "", sentence.text[low:high])
    if concluded and word.end <= measure.start:
        between = _SO.sub("", between)
    return len(between.split()) <= 6 and not re.search(r"[,;:.(](?:\s|$)|\d", between)


_SO = re.compile(r",(?=\s(?:so|also|that is|i\.e\.|soit|donc|thus|hence)\b)")


def _near_classes(sentence: Sentence, measure: Measure, around: Surroundings) -> frozenset[str]:
    """Classes of the words that may change what the figure is of: those of its clause."""
    span = sentence.clause(measure.start)
    return frozenset(name for word in around.words if span[0] <= word.start < span[1] for name in word.classes)


_LABEL_GAP = re.compile(
    r"\s*(?:[^\W\d_]+[\s-]){0,2}(?:[:|=(]|is|are|of|ist|sind|est|de|von|à|with|mit|avec)?\s*(?:about |rund |~|≈)?",
    re.IGNORECASE,
)
_NOTHING_BEHIND = re.compile(r"\s*(?:$|[.,;)|/]|and\b|und\b|et\b|in\b|for\b|per\b|on\b)", re.IGNORECASE)


def counts(sentence: Sentence, measure: Measure, around: Surroundings, classes: frozenset[str]) -> bool:
    """Whether a number counts words of these classes: they stand right behind it, or are its label."""
    text = sentence.text
    behind = [w for w in around.words if measure.end <= w.start and len(text[measure.end : w.start].split()) <= 2]
    behind = [w for w in behind if not re.search(r"[,;.:()|\d]", text[measure.end : w.start])]
    if any(w.classes & classes for w in behind) or (
        "any" in classes and re.match(r"\s[^\W\d_]{3,}", text[measure.end :])
    ):
        return True
    title = text.find(" | ") if sentence.statement.kind == "row" else -1
    if title < 0 and sentence.statement.kind == "row":
        title = text.rfind(":", 0, measure.start)
    if title >= 0 and text[: measure.start].rstrip(" ~≈").endswith(":") and _NOTHING_BEHIND.match(text[measure.end :]):
        return any(w.classes & classes for w in around.words if w.end <= title)
    before = [w for w in around.words if w.end <= measure.start and w.classes & classes]
    if not before or not _NOTHING_BEHIND.match(text[measure.end :]):
        return False  # what it counts stands behind it, and is something else
    return bool(_LABEL_GAP.fullmatch(text[before[-1].end : measure.start])) and not re.search(
        r"\d", text[before[-1].end : measure.start]
    )
