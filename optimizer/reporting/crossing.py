"""Limits that the prediction keeps and its interval does not: where a report says to measure first."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer

WORDS = {"prefill": "prefill", "ttft": "time to first token", "tpot": "time per output token", "e2e": "whole request"}


@dataclass(frozen=True, slots=True)
class CrossedLimit:
    """A latency limit within the interval of measurements of such predictions; times in ms."""

    name: str
    """The figure, e.g. ``ttft_p99_ms``."""
    limit_ms: float
    low_ms: float
    high_ms: float

    @property
    def words(self) -> str:
        """The figure in words."""
        metric, percentile = self.name.removesuffix("_ms").rsplit("_", 1)
        return f"{WORDS.get(metric, metric)} at {percentile.upper()}"

    @property
    def sentence(self) -> str:
        """What it may come to, for a headline."""
        return f"{self.words} may reach {milliseconds(self.high_ms)}, the limit is {milliseconds(self.limit_ms)}"

    @property
    def within(self) -> float:
        """The part of the interval that keeps the limit, 0 to 1."""
        return (self.limit_ms - self.low_ms) / (self.high_ms - self.low_ms)


def crossings(problem: Problem, answer: Answer) -> tuple[CrossedLimit, ...]:
    """Every latency limit whose prediction keeps it while the 95th percentile of such measurements does not."""
    seen, metrics = answer.intervals, answer.metrics
    if seen is None or metrics is None:
        return ()
    found = []
    for limit in problem.requirements.latency_limits:
        predicted = getattr(metrics, limit.field, None)
        if predicted is None or limit.field not in seen.ranges:
            continue
        low, high = seen.ranges[limit.field]
        if predicted <= limit.limit_ms < high:
            found.append(CrossedLimit(limit.field, limit.limit_ms, min(low, limit.limit_ms), high))
    return tuple(found)
