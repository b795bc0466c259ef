"""Percentiles on different lines: the median of a metric cannot be above its 99th percentile, which another line gives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim
from optimizer.auditing.context import Context
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

Stated = dict[str, dict[int, tuple[int, float, str]]]
"""By metric and percentile: line, ms, as written."""
_AT_MOST = 1.02
"""A rounded median may be this much above a rounded 99th percentile."""
_NOT_OURS = re.compile(
    r"\b(?:without|before|after|vorher|ohne|avant|sans|pilot|test|vendor|measured|gemessen|mesur\w*|A100|H100|other|alone)\b",
    re.IGNORECASE,
)


def percentile_order(sentence: Sentence, context: Context) -> Iterator[Claim]:
    """The one percentile of a metric that a sentence states, against the other one of the lines before."""
    metrics = {id for t in sentence.terms for id in t.ids("metrics")}
    ranks = {int(p) for t in sentence.terms if (p := t.id("percentiles"))} & {50, 99}
    times = [m for m in sentence.measures if m.dimension == "ms"]
    if len(metrics) != 1 or len(ranks) != 1 or not times or len(times) > 2 or sentence.gpus or sentence.strategies:
        return
    if any(sentence.has(kind) for kind in ("hypothetical", "past", "negation")) or _NOT_OURS.search(sentence.text):
        return
    if len(times) == 1 and sentence.has("target"):
        return  # a limit, and no result
    metric, rank, result = next(iter(metrics)), next(iter(ranks)), times[0]
    known = context.percentiles.setdefault(metric, {})
    other = known.get(149 - rank)
    known.setdefault(rank, (sentence.statement.line, result.value, result.text))
    if other is not None and other[0] != sentence.statement.line and _falls(rank, result, other[1]):
        reason = f"Line {other[0]} gives P{149 - rank} {other[2]}: a higher percentile cannot be lower."
        bound = f"at {'most' if rank == 50 else 'least'} {other[2]}"
        yield figure_claim(sentence, "contradicted", reason, result, bound, "percentiles", "≤" if rank == 50 else "≥")


def _falls(rank: int, result: Measure, other: float) -> bool:
    low, high = (result.value, other) if rank == 50 else (other, result.value)
    return low > _AT_MOST * high
