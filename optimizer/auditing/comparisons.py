"""Judges figures of a sentence beside each other: targets met, percentiles in order, units converted, shares and ratios."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim
from optimizer.auditing.context import Context
from optimizer.auditing.conversions import conversions
from optimizer.auditing.facts import Situation
from optimizer.auditing.latency_targets import MUST, differences, targets_met
from optimizer.auditing.lexicon import Term
from optimizer.auditing.measures import Measure
from optimizer.auditing.percentile_lists import percentile_lists
from optimizer.auditing.percentile_order import percentile_order
from optimizer.auditing.ratios import from_to, parts_of, percentages, share_of
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.shares_written import shares_written
from optimizer.auditing.sums_of_sizes import cards_together, goes_into, left_of
from optimizer.results.audit import Claim, Verdict


def judge_comparisons(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """Claims about two figures of one sentence."""
    if sentence.statement.line in context.rows:
        return
    yield from conversions(sentence)
    yield from percentile_lists(sentence)
    yield from _percentiles(sentence)
    yield from percentile_order(sentence, context)
    compared = list(_placed(sentence))
    yield from compared or targets_met(sentence, context)
    yield from differences(sentence, context)
    yield from percentages(sentence)
    yield from from_to(sentence)
    yield from goes_into(sentence)
    yield from left_of(sentence, own)
    yield from shares_written(sentence)
    yield from parts_of(sentence)
    yield from share_of(sentence)
    yield from cards_together(sentence)


def _percentiles(sentence: Sentence) -> Iterator[Claim]:
    """A higher percentile of the same metric cannot be below a lower one."""
    marks = [t for t in sentence.terms if t.id("percentiles")]
    times = [m for m in sentence.measures if m.dimension == "ms"]
    if len(marks) < 2 or len(times) < 2 or len({t.id("percentiles") for t in marks}) < 2:
        return
    metrics = {id for t in sentence.terms for id in t.ids("metrics")}
    if len(metrics) > 1 and not ("tpot" in metrics and len(metrics) == 1):
        return
    pairs = _paired(sentence, marks, times)
    ordered = [(x, y) for x in pairs for y in pairs if x[0] < y[0]]
    for (low, a), (high, b) in sorted(ordered, key=lambda pair: pair[0][1].value <= pair[1][1].value):
        words = f"P{low} is {a.text}, P{high} is {b.text}"
        if a.value > b.value:
            yield figure_claim(
                sentence,
                "refuted",
                f"{words}: a higher percentile cannot be lower.",
                b,
                f"at least {a.text}",
                "percentiles",
                "≥",
            )
        else:
            yield figure_claim(sentence, "confirmed", f"{words}: in order.", b, None, "percentiles", "≥")
        return


def _paired(sentence: Sentence, marks: list[Term], times: list[Measure]) -> list[tuple[int, Measure]]:
    """Each percentile with its figure, all before or all behind their marks."""
    found: list[tuple[int, Measure]] = []
    first_is_mark = marks[0].start < times[0].start
    for mark in marks:
        near = [m for m in times if (m.start >= mark.end if first_is_mark else m.end <= mark.start)]
        if near:
            found.append((int(mark.id("percentiles") or 0), near[0] if first_is_mark else near[-1]))
    return found if len({m.start for _, m in found}) == len(found) else []


_BELOW = re.compile(
    r"\b(?:(?:well |safely |comfortably |still |just |clearly |far )*(?:within|under|below|inside)|less than"
    r"|lower than|faster than|shorter than|in line with|unter|innerhalb|im Rahmen(?: der| des| von)?|moins que|en deçà de"
    r"|dans la limite de|kleiner als|weniger als|en dessous de|sous|inférieure?s? à"
    r"|moins de)"
    r"\s+(?:the |our |its |a |an |der |den |dem |die |la |le |les |une? |allowed |agreed |promised |required |stated "
    r"|geforderten? |vereinbarten? |zugesagten? |erlaubten? |limit of |target of |limite de |Grenze von )*$",
    re.IGNORECASE,
)

_ABOVE = re.compile(
    r"\b(?:(?:well |just |clearly |far )*(?:above|over|beyond)|exceeds?|exceeding|more than|higher than"
    r"|greater than|über|oberhalb|größer als|mehr als|überschreitet|au-dessus de|supérieure?s? à|dépasse"
    r"|plus de)"
    r"\s+(?:the |our |its |a |an |der |den |dem |die |la |le |les |une? |allowed |agreed |limit of |target of |limite de |Grenze von )*$",
    re.IGNORECASE,
)


def _placed(sentence: Sentence) -> Iterator[Claim]:
    """``97 ms, well within the 90 ms we promised``: two figures of a kind, one said to lie below or above the other."""
    if sentence.has("hypothetical") or sentence.has("negation") or MUST.search(sentence.text):
        return
    for first, second in zip(sentence.measures, sentence.measures[1:], strict=False):
        if (
            first.dimension != second.dimension
            or not first.dimension
            or first.dimension == "%"
            or first.hedged
            or second.hedged
        ):
            continue
        if sum(m.dimension == first.dimension for m in sentence.measures) != 2 or re.search(
            r"[×*÷/+−]\s*\(?$", sentence.text[: first.start]
        ):
            continue
        gap = sentence.text[first.end : second.start]
        if _BELOW.search(sentence.text[: first.start]) and re.match(r",\s\w+ (?:tokens?|ones?|Token|jetons?)\b", gap):
            continue  # "first tokens within 6 s, later ones within 120 ms": both are bounds
        below, above = _BELOW.search(gap), _ABOVE.search(gap)
        if (
            bool(below) == bool(above)
            or len(gap) > 90
            or re.search(r"\b(?:but|and|while|from|to|aber|und|mais|et)\b|[;]", gap)
        ):
            continue
        low, high = (first, second) if below else (second, first)
        holds = min(low.values) <= max(high.values) * (1 + 1e-9)
        sign = "≤" if below else "≥"
        reason = f"{first.text} is {'' if holds else 'not '}{'below' if below else 'above'} {second.text}"
        verdict: Verdict = "confirmed" if holds else "refuted"
        yield figure_claim(
            sentence, verdict, reason + ".", first, None if holds else f"{sign} {second.text}", "comparison", sign
        )
        return
