"""What the numbers of an answer rest on: which source of costs spoke of the strategy, and how far predictions may lie off."""

from __future__ import annotations

from optimizer.catalog.constants import LatencyMetric, fitted_runs
from optimizer.costs.corrected import correction_of
from optimizer.costs.intervals import prediction_interval
from optimizer.costs.shapes import Shape
from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.cost_table import Correction
from optimizer.facts.problem import Problem
from optimizer.results.answer import Metrics, PredictionIntervals, Strategy

METRICS: tuple[LatencyMetric, ...] = ("ttft", "tpot")


def cost_sentences(problem: Problem, strategy: Strategy, metrics: Metrics) -> list[str]:
    """What the source of costs says about the strategy; nothing where all is analytic."""
    facts = problem.costs
    if facts is None:
        return []
    stated = _stated_for(problem, strategy)
    if stated is None:
        return [
            f"Costs: {facts.label}; it does not cover {strategy.label}, whose times are the analytic model's alone."
        ]
    what = {"table": "measured runs", "measured": "table queries"}[facts.source]
    said = (
        f"Costs: {facts.label}; {strategy.label} rests on {stated.samples} {what} at {stated.least:g} to {stated.most:g} "
        "sequences per replica"
    )
    load = metrics.concurrency_p50, metrics.concurrency_p99
    if load[0] is None or load[1] is None:
        return [said + "."]
    if stated.least <= load[0] and load[1] <= stated.most:
        return [f"{said}, and the {load[0]} (P50) to {load[1]} (P99) in progress here lie inside."]
    return [
        f"{said}; the {load[0]} (P50) to {load[1]} (P99) in progress here lie partly outside, where it gives way to the "
        "analytic model."
    ]


def intervals_of(problem: Problem, strategy: Strategy, metrics: Metrics) -> PredictionIntervals | None:
    """Where measurements would fall, from the analytic model's errors on models left out of its fit.

    The errors are of means at a fixed number of requests; percentiles under random arrivals are given the same range.
    None where another source of costs speaks of the strategy, whose errors are not known.
    """
    if _stated_for(problem, strategy) is not None:
        return None
    ranges: dict[str, tuple[float, float]] = {}
    for metric in METRICS:
        for percentile in (50, 99):
            name = f"{metric}_p{percentile}_ms"
            predicted: float | None = getattr(metrics, name)
            if predicted is not None:
                found = prediction_interval(metric, predicted, problem.model)
                ranges[name] = (found.p5, found.p95)
    basis = f"5 % to 95 % of {fitted_runs():,} measured runs, models left out of the fit"
    return PredictionIntervals(basis, ranges) if ranges else None


def interval_sentences(intervals: PredictionIntervals | None) -> list[str]:
    """The ranges of the 99th percentiles in words."""
    if intervals is None:
        return []
    words = {"ttft_p99_ms": "time to first token", "tpot_p99_ms": "time per output token"}
    said = [
        f"{words[name]} {milliseconds(low)} to {milliseconds(high)}"
        for name, (low, high) in intervals.ranges.items()
        if name in words
    ]
    return [f"Prediction intervals ({intervals.basis}) at P99: {', '.join(said)}."] if said else []


def _stated_for(problem: Problem, strategy: Strategy) -> Correction | None:
    if problem.costs is None:
        return None
    shape = Shape(
        strategy.tensor_parallel,
        strategy.pipeline_parallel,
        strategy.expert_parallel,
        strategy.weight_precision,
        strategy.kv_precision,
        strategy.layers_per_stage,
    )
    return correction_of(problem.costs, shape)
