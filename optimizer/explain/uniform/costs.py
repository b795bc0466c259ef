"""What the numbers of an answer rest on: which source of costs spoke of the strategy, and how far predictions may lie off."""

from __future__ import annotations

from optimizer.catalog.accuracy import words_of
from optimizer.catalog.constants import LatencyMetric, constants, stated_basis
from optimizer.costs.corrected import correction_of
from optimizer.costs.features import features_of
from optimizer.costs.intervals import Interval, interval_of
from optimizer.costs.shapes import Shape
from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.cost_table import Correction
from optimizer.facts.problem import Problem
from optimizer.results.answer import Metrics, PredictionIntervals, Strategy

METRICS: tuple[LatencyMetric, ...] = ("ttft", "tpot")


def cost_sentences(problem: Problem, strategy: Strategy, metrics: Metrics) -> list[str]:
    """What the source of costs says about the strategy; nothing where all is analytic."""
    facts = problem.costs
    basis = stated_basis()
    own = [f"Constants of the cost model: fitted to {basis}, not the shipped ones."] if basis else []
    if facts is None:
        return own
    stated = _stated_for(problem, strategy)
    if stated is None:
        return [
            *own,
            f"Costs: {facts.label}; it does not cover {strategy.label}, whose times are the analytic model's alone.",
        ]
    what = {"table": "measured runs", "measured": "table queries"}[facts.source]
    said = (
        f"Costs: {facts.label}; {strategy.label} rests on {stated.samples} {what} at {stated.least:g} to {stated.most:g} "
        "sequences per replica"
    )
    load = metrics.concurrency_p50, metrics.concurrency_p99
    if load[0] is None or load[1] is None:
        return [*own, said + "."]
    if stated.least <= load[0] and load[1] <= stated.most:
        return [*own, f"{said}, and the {load[0]} (P50) to {load[1]} (P99) in progress here lie inside."]
    return [
        *own,
        f"{said}; the {load[0]} (P50) to {load[1]} (P99) in progress here lie partly outside, where it gives way to the "
        "analytic model.",
    ]


def intervals_of(problem: Problem, strategy: Strategy, metrics: Metrics) -> PredictionIntervals | None:
    """Where measurements would fall, from the residuals of measured runs like this answer, else from physics alone.

    The residuals are of means at a fixed number of requests; percentiles under random arrivals are given the same range.
    None where another source of costs speaks of the strategy, whose errors are not known.
    """
    if _stated_for(problem, strategy) is not None or metrics.concurrency_p99 is None:
        return None
    shape = _shape(strategy)
    known = interval_of(problem, shape, max(1, metrics.concurrency_p50 or 1))
    ranges: dict[str, tuple[float, float]] = {}
    factors: dict[str, tuple[float, float]] = {}
    for metric in METRICS:
        for percentile in (50, 99):
            name = f"{metric}_p{percentile}_ms"
            predicted: float | None = getattr(metrics, name)
            if predicted is not None:
                low, high = factors[name] = known.factors(metric)
                ranges[name] = (predicted * low, predicted * high)
    return PredictionIntervals(_basis(problem, shape, known), ranges, factors) if ranges else None


def _basis(problem: Problem, shape: Shape, known: Interval) -> str:
    """Which measured runs an interval rests on, or that there are none like the answer."""
    physics = "every constant of the model at its best to every one at its worst"
    if known.stratum is None:
        format_bytes = constants().formats[shape.weight_format].linear
        here = features_of(problem.model, problem.hardware, shape, problem.engine, format_bytes)
        return f"nothing like this was measured ({words_of(here.kept(0))}): {physics}"
    stratum = known.stratum
    what = "throughput measurements" if stratum.throughput_only else "measured runs"
    count = "1 model" if len(stratum.models) == 1 else f"{len(stratum.models)} models"
    said = (
        f"5 % to 95 % of {stratum.runs:,} {what} like this ({words_of(stratum.features)}; {count}), left out of the fit"
    )
    return said if known.ttft_measured else f"{said}; no first token like this was measured: {physics}"


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
    return correction_of(problem.costs, _shape(strategy))


def _shape(strategy: Strategy) -> Shape:
    return Shape.of(strategy)
