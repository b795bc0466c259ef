"""Constants of the cost model, read from ``data/constants.yaml`` where each has its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from optimizer.facts.base import Facts, NonNegative, Positive

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONSTANTS_FILE = Path(__file__).parent / "data" / "constants.yaml"

LatencyMetric = Literal["tpot", "ttft", "e2e"]


class WeightBytes(Facts):
    """Bytes per parameter of a weight format, and the formats its matrix products may run in, best first."""

    linear: Positive
    expert: Positive
    compute: tuple[str, ...]


class EngineConstants(Facts):
    """What differs between serving engines."""

    start_ms: NonNegative
    admit_steps: NonNegative


class ClosedLoopConstants(Facts):
    """What differs between serving engines under a fixed number of concurrent requests (``costs/closed_loop.py``)."""

    bunching: Annotated[float, Field(ge=0, le=1)]
    """b: share of the other requests' prompts that a newcomer meets before its first token."""
    start_ms: NonNegative
    """t0: time to first token that depends on nothing else, ms."""
    steps: NonNegative
    """d: decode steps before the first token."""


class CostConstants(Facts):
    """Names and meaning: ``docs/model.md``; times in milliseconds, sizes in bytes, fractions of peak."""

    eta_bw: Positive
    eta_kv: Positive
    eta_expert_bw: Positive
    eta_decode_flops: Positive
    eta_expert_flops: Positive
    eta_prefill_flops: Positive
    eta_prefill_expert_flops: Positive
    eta_prefill_attention: Positive
    overlap: NonNegative
    imbalance: NonNegative
    ar_factor: Positive
    t_layer: NonNegative
    t_tp: NonNegative
    t_expert: NonNegative
    experts_half: Positive
    t_touched: NonNegative
    speedup_8bit: Positive
    speedup_4bit: Positive
    t_step: NonNegative
    t_sequence: NonNegative
    pcie_latency_us: NonNegative
    logit_bytes: Positive
    comm_bytes: int
    engine_bytes: int
    formats: dict[str, WeightBytes]
    engines: dict[str, EngineConstants]


class LogErrors(Facts):
    """Quantiles of log(measured / predicted) on models left out of the fit."""

    p5: float
    p10: float
    p50: float
    p90: float
    p95: float


class Intervals(Facts):
    """Errors by metric, for dense models and for those with routed experts. How they were found: docs/accuracy.md."""

    dense: dict[LatencyMetric, LogErrors]
    moe: dict[LatencyMetric, LogErrors]

    def errors(self, metric: LatencyMetric, routed: bool) -> LogErrors:
        """Error quantiles of a metric; ``routed``: the model has routed experts."""
        return (self.moe if routed else self.dense)[metric]


@cache
def _file() -> dict[str, Any]:
    with CONSTANTS_FILE.open("rb") as stream:
        values: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return values


@cache
def constants() -> CostConstants:
    """The constants that ship with the product."""
    return CostConstants.model_validate(_file()["values"])


@cache
def closed_loop_constants() -> dict[str, ClosedLoopConstants]:
    """Closed-loop constants by engine; ``other`` is for engines that were not measured."""
    return {name: ClosedLoopConstants.model_validate(value) for name, value in _file()["closed_loop"].items()}


@cache
def fitted_runs() -> int:
    """Measured runs behind the constants and the intervals."""
    return int(_file()["fitted"]["runs"])


@cache
def intervals() -> Intervals:
    """How far measured latencies lie from predicted ones."""
    return Intervals.model_validate(_file()["intervals"])
