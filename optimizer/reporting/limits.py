"""Each limit of a strategy as a bar: the prediction as a share of it, with the interval of such measurements."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.explain.common.numbers import milliseconds
from optimizer.reporting.crossing import WORDS
from optimizer.reporting.subject import Subject


@dataclass(frozen=True, slots=True)
class LimitBar:
    """A figure as a share of its limit; ``low`` and ``high`` of its interval, where there is one."""

    words: str
    figures: str
    share: float
    low: float | None = None
    high: float | None = None


def limit_bars(subject: Subject) -> list[LimitBar]:
    """Every latency limit, then the load. (Memory is none: what weights leave is always given to the cache.)"""
    bars = []
    seen = subject.answer.intervals
    for limit in subject.problem.requirements.latency_limits:
        predicted = getattr(subject.metrics, limit.field, None)
        if not limit.field.endswith("_ms") or limit.limit_ms <= 0:
            continue
        words = f"{WORDS.get(limit.metric, limit.metric)}, P{limit.percentile}"
        if predicted is None:
            bars.append(LimitBar(words, f"piles up; limit {milliseconds(limit.limit_ms)}", 2.0))
            continue
        low, high = (None, None) if seen is None else seen.ranges.get(limit.field, (None, None))
        bars.append(
            LimitBar(
                words,
                f"{milliseconds(predicted)} of {milliseconds(limit.limit_ms)}",
                predicted / limit.limit_ms,
                None if low is None else low / limit.limit_ms,
                None if high is None else high / limit.limit_ms,
            )
        )
    rate, most = subject.problem.workload.requests_per_s, subject.metrics.max_request_rate
    if most:
        bars.append(LimitBar("load", f"{rate:,.4g} of {most:,.4g} requests/s", rate / most))
    return bars
