"""What stands between a figure and a name: words that carry a meaning of their own, and the noun that a count counts."""

from __future__ import annotations

import re

from optimizer.auditing.lexicon import Term, afterwards, filler_words
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

LETTERS = re.compile(r"[^\W\d_]+")


def counts_other(sentence: Sentence, measure: Measure) -> bool:
    """Whether a word that is not known stands right behind a count: the 3 of "the MLP has 3 matrices"."""
    found = re.match(r"[\s-]([^\W\d_]{2,})", sentence.text[measure.end :])
    if not found or found[1].casefold() in afterwards():
        return False
    place = measure.end + 1
    return not any(t.start <= place < t.end for t in sentence.terms)


def unknown_in(gap: str) -> int:
    """Words of a gap that carry a meaning of their own, so that the figure behind it may be of something else."""
    fillers = filler_words()
    return sum(word.casefold() not in fillers for word in LETTERS.findall(gap))


def noun_behind(sentence: Sentence, measure: Measure) -> Term | None:
    """What a count counts, where the word stands right behind it: the 16 of "16 sequences" are no layers."""
    if measure.dimension or (measure.unit and measure.value >= 1e6):
        return None
    for term in sentence.terms:
        if term.start >= measure.end and term.id("objects"):
            gap = sentence.text[measure.end : term.start]
            if any(measure.end <= t.start < term.start and t.id("per") for t in sentence.terms):
                return None
            return term if len(gap.split()) <= 1 and not re.search(r"[,;:.()|/]", gap) else None
    return None


def stripped_gap(sentence: Sentence, start: int, end: int, *, names_only: bool = False) -> str:
    """A gap without what says per what and of which GPU, model or strategy."""
    text = list(sentence.text[start:end])
    spans = [(m.start, m.end) for m in sentence.measures if start <= m.start]
    spans += (
        []
        if names_only
        else [
            (t.start, t.end)
            for t in sentence.terms_in(start, end)
            if t.id("objects")
            or t.id("per")
            or t.id("articles")
            or t.id("total")
            or t.id("hedges")
            or t.id("precisions")
            or t.id("results")
            or t.id("at_least")
            or t.id("at_most")
        ]
    )
    for gpu in sentence.gpus:
        size = re.match(
            r"[\s-]*(?:SXM\d?|PCIe|NVL)?[\s-]*(?:de |mit |with )?\d+\s?(?:GB|Go)\b", sentence.text[gpu.end :]
        )
        spans.append((gpu.end, gpu.end + (size.end() if size else 0)))
    spans += [(n.start, n.end) for n in (*sentence.gpus, *sentence.models)] + [
        (a, b) for a, b, _ in sentence.strategies if a >= 0
    ]
    for a, b in spans:
        for place in range(max(a, start), min(b, end)):
            text[place - start] = " "
    return re.sub(r"\([^()]*\)", " ", "".join(text))
