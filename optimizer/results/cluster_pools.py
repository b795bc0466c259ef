"""What an answer about prefill and decode pools on an inventory consists of. ``docs/disaggregated.md``, section 13."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Conflict, ModelRead, ObjectiveResult, RuleResult, Status, Verification
from optimizer.results.pools import PoolMetrics, PoolsRepair, PoolStrategy


@dataclass(frozen=True, slots=True)
class GroupPool:
    """The part of a pool that stands on one group of nodes."""

    group: str
    """Name of the group."""
    share: float
    """Share of the requests that it is sent, 0 to 1; those of a pool add up to 1."""
    pool: PoolStrategy
    """Its instances; ``nodes`` are nodes of the group."""

    @property
    def label(self) -> str:
        """Short name such as ``2 × TP4 on h100``."""
        return f"{self.pool.label} on {self.group}"


@dataclass(frozen=True, slots=True)
class ClusterPoolsStrategy:
    """Both pools, each by groups in the order of the inventory."""

    prefill: tuple[GroupPool, ...]
    """The pool that works through prompts."""
    decode: tuple[GroupPool, ...]
    """The pool that produces tokens."""

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return sum(part.pool.gpus for part in (*self.prefill, *self.decode))

    @property
    def label(self) -> str:
        """Short name such as ``prefill 2 × TP4 on h100 + decode 1 × TP8 on h200``."""
        sides = (("prefill", self.prefill), ("decode", self.decode))
        return " + ".join(f"{name} {' and '.join(part.label for part in parts)}" for name, parts in sides)


@dataclass(frozen=True, slots=True)
class ClusterPoolsMetrics:
    """What both pools deliver. None: no finite value, because requests pile up. Percentiles are those of the slowest parts."""

    prefill: tuple[PoolMetrics, ...]
    """Of each part of the prefill pool."""
    decode: tuple[PoolMetrics, ...]
    """Of each part of the decode pool."""
    prefill_p50_ms: float | None
    """Time that a prompt is worked on, median, ms."""
    prefill_p99_ms: float | None
    """The same at the 99th percentile, ms."""
    transfer_ms: float
    """Of the mean prompt's cache, no other in the way, ms."""
    transfer_longest_ms: float
    """Of the longest prompt's cache, no other in the way, ms."""
    ttft_p50_ms: float | None
    """Arrival to first token, median, ms."""
    ttft_p99_ms: float | None
    """Arrival to first token, 99th percentile, ms."""
    tpot_p50_ms: float | None
    """From one output token to the next, median, ms."""
    tpot_p99_ms: float | None
    """From one output token to the next, 99th percentile, ms."""
    request_mean_ms: float | None
    """Arrival to last token, mean, ms."""
    tokens_per_s: float
    """Output tokens/s at the stated request rate."""
    peak_tokens_per_s: float
    """Output tokens/s at which the first part of either pool is full, shares kept, whatever the latencies."""
    max_request_rate: float
    """Requests/s up to which every limit holds, shares kept."""
    availability: float
    """Share of requests served, failures counted."""
    price_per_hour: float | None
    """Price of the GPUs in use; None where one has no price."""


@dataclass(frozen=True, slots=True)
class ClusterPoolsAnswer:
    """What ``solve`` or ``check`` found for pools on an inventory."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    strategy: ClusterPoolsStrategy | None
    """The best pools; None where there are none."""
    metrics: ClusterPoolsMetrics | None
    """Of these pools."""
    objective: ObjectiveResult | None
    """Of these pools, ms per request."""
    rules: tuple[RuleResult, ...]
    """Every rule applied to them, each at the part that is nearest to breaking it."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    link: str
    """What the cache crosses: NVLink, PCIe or network."""
    conflicts: tuple[Conflict, ...] = ()
    """Why nothing is feasible; empty where something is."""
    repairs: tuple[PoolsRepair, ...] = ()
    """What would make it feasible."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    feasible: bool | None = None
    """Of ``check``: whether every rule is kept; None: nothing was fixed, or not settled."""
    optimum: ClusterPoolsAnswer | None = None
    """Of ``check``: the answer without the fixed decisions."""
    model: ModelRead | None = None
    """What was read of the model."""

    @property
    def label(self) -> str:
        """Short name of the pools; empty where there are none."""
        return self.strategy.label if self.strategy is not None else ""
