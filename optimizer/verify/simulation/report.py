"""From a run to percentiles with their uncertainty, and what of an answer they contradict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.demand import Goodput, Requirements
from optimizer.results.answer import Metrics
from optimizer.verify.simulation.engine import SimulationRun
from optimizer.verify.simulation.sequences import Request

BATCHES = 10
"""Batches of successive requests for confidence intervals."""
_T975 = 2.262  # 97.5th percentile of Student's t with BATCHES - 1 degrees of freedom
TOLERANCE = 0.15
"""Relative difference of analytic and simulated percentiles above which the answer says so."""

_NAMES = {"prefill": "Prefill", "ttft": "Time to first token", "tpot": "Time per output token", "e2e": "Whole request"}
_LATENCIES = tuple((metric, percentile) for metric in _NAMES for percentile in (50, 99))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A simulated value in ms and the half-width of its 95 % confidence interval (method of batch means)."""

    ms: float
    half_width_ms: float


@dataclass(frozen=True, slots=True)
class SimulatedPercentiles:
    """What one replica did. Percentiles are over requests; None where none has the quantity (outputs of one token)."""

    prefill_p50: Estimate
    prefill_p99: Estimate
    ttft_p50: Estimate
    ttft_p99: Estimate
    tpot_p50: Estimate | None
    tpot_p99: Estimate | None
    e2e_p50: Estimate
    e2e_p99: Estimate
    request_mean: Estimate
    """Arrival to last token."""
    requests_seen: tuple[tuple[float, float, float], ...]
    """TTFT, TPOT (0: one token) and whole time of each, ms."""
    arrivals: str
    """Where the requests came from, in words."""
    requests: int
    """Measured; the warm-up is not counted."""
    refused: int
    """Longer than ``max_sequence_tokens`` or the whole KV cache."""
    preemptions: int
    most_running: int
    mean_in_system: float
    """Requests in the system, averaged over time."""
    littles_law_residual: float
    """|L - lambda W| / L: the time average against the sum over requests."""
    seed: int
    duration_s: float
    """Simulated time."""

    def within(self, goodput: Goodput) -> float:
        """Share of requests within every limit of a goodput."""
        most = [goodput.limits.get(name, math.inf) for name in ("ttft", "tpot", "e2e")]
        return sum(all(v <= m for v, m in zip(one, most, strict=True)) for one in self.requests_seen) / self.requests

    def latency(self, metric: str, percentile: int) -> Estimate | None:
        """A percentile by metric (``prefill``, ``ttft``, ``tpot``) and 50 or 99."""
        found: Estimate | None = getattr(self, f"{metric}_p{percentile}")
        return found


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What the simulation contradicts: a stated limit fails, or a percentile is more than ``TOLERANCE`` away."""

    kind: Literal["limit", "difference"]
    metric: str
    percentile: int
    analytic_ms: float | None
    simulated_ms: float
    limit_ms: float | None
    sentence: str


def summarise(run: SimulationRun, *, warm_up: int, requests: int, arrivals: str, seed: int) -> SimulatedPercentiles:
    """Percentiles over the requests after the warm-up.

    Args:
        run: ``Engine.run`` of at least ``warm_up + requests`` requests.
        warm_up: first requests that are not measured, because they found the replica emptier than usual.
        requests: requests that are measured.

    Raises:
        ValueError: no measured request was answered.
    """
    measured = [r for r in run.requests[warm_up : warm_up + requests] if r.finished >= 0]
    if not measured:
        raise ValueError("no request was answered: none fits the KV cache and the longest sequence")
    prefill = np.array([r.first - r.scheduled for r in measured])
    ttft = np.array([r.first - r.arrived for r in measured])
    tpot = np.array([(r.finished - r.first) / (r.tokens - 1) for r in measured if r.tokens > 1])
    whole = np.array([r.finished - r.arrived for r in measured])
    return SimulatedPercentiles(
        prefill_p50=_quantile(prefill, 50),
        prefill_p99=_quantile(prefill, 99),
        ttft_p50=_quantile(ttft, 50),
        ttft_p99=_quantile(ttft, 99),
        tpot_p50=_quantile(tpot, 50) if len(tpot) else None,
        tpot_p99=_quantile(tpot, 99) if len(tpot) else None,
        e2e_p50=_quantile(whole, 50),
        e2e_p99=_quantile(whole, 99),
        requests_seen=tuple(zip(ttft.tolist(), _per_token(measured), whole.tolist(), strict=True)),
        request_mean=Estimate(float(whole.mean()), _half_width([float(b.mean()) for b in _batches(whole)])),
        arrivals=arrivals,
        requests=len(measured),
        refused=run.refused,
        preemptions=run.preemptions,
        most_running=run.most_running,
        mean_in_system=run.in_system_ms / run.ended_ms,
        littles_law_residual=littles_law_residual(run),
        seed=seed,
        duration_s=run.ended_ms / 1000,
    )


def _per_token(measured: Sequence[Request]) -> list[float]:
    return [(r.finished - r.first) / (r.tokens - 1) if r.tokens > 1 else 0.0 for r in measured]


def littles_law_residual(run: SimulationRun) -> float:
    """|L - lambda W| / L over the whole run, W cut at its end: only rounding unless requests are lost or doubled."""
    sojourns = math.fsum((r.finished if r.finished >= 0 else run.ended_ms) - r.arrived for r in run.requests)
    return abs(run.in_system_ms - sojourns) / run.in_system_ms


def _quantile(values: NDArray[np.float64], percentile: int) -> Estimate:
    batches = [float(np.percentile(batch, percentile)) for batch in _batches(values)]
    return Estimate(float(np.percentile(values, percentile)), _half_width(batches))


def _batches(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return np.array_split(values, BATCHES) if len(values) >= BATCHES else []


def _half_width(batches: Sequence[float]) -> float:
    """Of the 95 % interval of the mean of the batches; infinite where there are too few values for batches."""
    return _T975 * float(np.std(batches, ddof=1)) / math.sqrt(BATCHES) if batches else math.inf


def compare(metrics: Metrics, simulated: SimulatedPercentiles, requirements: Requirements) -> tuple[Disagreement, ...]:
    """Every limit that fails in simulation, and every percentile that is more than ``TOLERANCE`` from the analytic one.

    Args:
        metrics: the analytic metrics of the answer.
        simulated: ``simulate`` of its strategy.
        requirements: the problem's limits.
    """
    found: list[Disagreement] = []
    limits: dict[tuple[str, int], float] = {
        (limit.metric, limit.percentile): limit.limit_ms for limit in requirements.latency_limits
    }
    goodput = requirements.goodput
    if goodput is not None:
        kept = simulated.within(goodput)
        said = f"Goodput: {kept:.1%} of the simulated requests are within every limit of requirements.goodput"
        if kept < goodput.share:
            sentence = f"{said}, below the share of {goodput.share:.1%}."
            found.append(Disagreement("limit", "goodput", 99, None, kept, goodput.share, sentence))
    for metric, percentile in _LATENCIES:
        estimate = simulated.latency(metric, percentile)
        if estimate is None:
            continue
        analytic: float | None = getattr(metrics, f"{metric}_p{percentile}_ms")
        limit = limits.get((metric, percentile))
        name = f"{_NAMES[metric]}, {'median' if percentile == 50 else '99th percentile'}"
        said = f"{name}: simulated {estimate.ms:,.1f} ms (± {estimate.half_width_ms:,.1f})"
        if limit is not None and estimate.ms > limit:
            sentence = f"{said} is above the limit of {limit:,.1f} ms."
            found.append(Disagreement("limit", metric, percentile, analytic, estimate.ms, limit, sentence))
        if analytic is not None and abs(analytic - estimate.ms) > TOLERANCE * estimate.ms:
            more = analytic / estimate.ms - 1
            side = "above, pessimistic" if more > 0 else "below, optimistic"
            sentence = f"{said}, analytic {analytic:,.1f} ms: {abs(more):.0%} {side}."
            found.append(Disagreement("difference", metric, percentile, analytic, estimate.ms, limit, sentence))
    return tuple(found)
