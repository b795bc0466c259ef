"""What the classifier of figures looks at: words, stems and units around a figure, by how near and on which side they stand."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator

from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

_TOKEN = re.compile(r"⟨\w+⟩|[^\W\d_]+(?:'(?=\w))?|\d+|[€$%:=|/()×÷+,;.?]")
_STEM = 5
"""Letters of a word that its inflections share, in three languages."""
_PLACED = 3
"""Words on either side whose place counts."""
_LONG = 10
"""Letters from which on a word may be a compound, whose end says what it is."""


def features_of(sentence: Sentence, measure: Measure) -> list[str]:
    """The features of one figure, each once."""
    before = _before(sentence, measure)
    behind = _words(sentence, measure.end, len(sentence.text), measure)
    start, end = sentence.clause(measure.start)
    near_before = len(_words(sentence, start, measure.start, measure)) if start < measure.start else 0
    near_behind = len(_words(sentence, measure.end, end, measure)) if end > measure.end else 0
    found: dict[str, None] = {"bias": None}
    for side, words, near in (("L", before[::-1], near_before), ("R", behind, near_behind)):
        for place, word in enumerate(words):
            for stem in stems(word):
                found[stem] = None
                if place < near:
                    found[f"C:{stem}"] = None
                if place < 8:
                    found[f"{side}:{stem}"] = None
                if place < _PLACED:
                    found[f"{side}{place}:{stem}"] = None
        plain = [w for w in words if w.isalpha() or w[0] == "⟨"]
        for first, second in itertools.pairwise(plain[:6]):
            found[f"{side}2:{first[:_STEM]}_{second[:_STEM]}"] = None
        if not words:
            found[f"{side}0:∅"] = None
    if not sentence.text[measure.end :].strip(" .;"):
        found["last"] = None
    unit = re.sub(r"\s+", " ", measure.unit.strip().casefold())
    found[f"unit:{unit}"] = None
    for part in re.findall(r"[^\W\d_]+", unit):
        found[f"u:{part[:_STEM]}"] = None
    if measure.word:
        found["word"] = None
    if measure.value > 0:
        found[f"size:{measure.dimension}{round(2 * math.log10(measure.value)) / 2:g}"] = None
    for other in sentence.measures:
        if other is not measure:
            found[f"with:{other.dimension or '#'}"] = None
    return list(found)


def _before(sentence: Sentence, measure: Measure) -> list[str]:
    """The words before a figure; of a table cell the title of its row: what names the column is no part of what is said."""
    bar = sentence.text.find(" | ") if sentence.statement.kind == "row" else -1
    if 0 <= bar < measure.start and ":" in sentence.text[bar : measure.start]:
        return [
            *_words(sentence, 0, bar, measure),
            ":",
            *_words(sentence, sentence.text.rindex(":", bar, measure.start) + 1, measure.start, measure),
        ]
    return _words(sentence, 0, measure.start, measure)


def stems(word: str) -> Iterator[str]:
    """What a word contributes: its beginning, the word where that is longer, and the end of a long one."""
    yield word[:_STEM]
    if len(word) > _STEM and word[0] != "⟨":
        yield word
    if len(word) >= _LONG and word.isalpha():
        yield "~" + word[-6:]


def _words(sentence: Sentence, start: int, end: int, measure: Measure) -> list[str]:
    """The words of a span in lower case; what names a GPU, a model or a strategy, and other figures, by their kind alone."""
    if start >= end:
        return []
    marked: list[tuple[int, int, str]] = [(g.start, g.end, "⟨gpu⟩") for g in sentence.gpus]
    marked += [(m.start, m.end, "⟨model⟩") for m in sentence.models]
    marked += [(a, b, "⟨strategy⟩") for a, b, _ in sentence.strategies if a >= 0]
    marked += [(m.start, m.end, f"⟨{_KINDS.get(m.dimension, 'n')}⟩") for m in sentence.measures if m is not measure]
    out, place = [], start
    for a, b, name in sorted(marked):
        if a < place or b > end:
            continue
        out.append(sentence.text[place:a])
        out.append(name)
        place = b
    out.append(sentence.text[place:end])
    return [w.casefold() if w[0] != "⟨" else w for w in _TOKEN.findall(" ".join(out)) if not w.isdigit()]


_KINDS = {
    "bytes": "bytes", "bytes/s": "bandwidth", "ms": "time", "%": "share", "W": "watt", "tokens/s": "tokenrate", "requests/s": "requestrate",
    "FLOP/s": "flops", "money/h": "money", "money/million": "money", "money/request": "money", "money": "money", "Wh": "energy",
}  # fmt: skip
