"""What an answer with joint instances beside prefill and decode pools consists of. ``docs/disaggregated.md``, section 14."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, unit_gpus
from optimizer.results.answer import Answer, Conflict, ModelRead, ObjectiveResult, Repair, Status, Verification
from optimizer.results.pools import PoolsAnswer


@dataclass(frozen=True, slots=True)
class SideBySideMetrics:
    """What both parts deliver together, their shares of the requests kept."""

    ttft_p50_ms: float | None
    """Arrival to first token, median, ms: of the slower part, which no percentile of all requests passes. None: requests pile up."""
    ttft_p99_ms: float | None
    """The same at the 99th percentile, ms."""
    tpot_p50_ms: float | None
    """From one output token to the next, median, of the slower part, ms."""
    tpot_p99_ms: float | None
    """The same at the 99th percentile, ms."""
    request_mean_ms: float | None
    """Arrival to last token, mean of all requests, ms."""
    tokens_per_s: float
    """Output tokens/s at the stated request rate."""
    peak_tokens_per_s: float
    """Output tokens/s at which one part is full, whatever the latencies."""
    max_request_rate: float
    """Requests/s up to which every limit holds in both parts."""
    availability: float
    """Share of requests served, failures counted."""


@dataclass(frozen=True, slots=True)
class SideBySideAnswer:
    """Joint instances for some of the requests, and pools for the rest."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal``: no split is better, nor either kind alone; ``feasible``: that is not proved; ``infeasible``: it was checked and breaks
    a rule."""
    share: float
    """Of the requests, what the joint instances are sent."""
    joint_gpus: int
    """GPUs set apart for the joint instances: whole nodes, or so many of a single node; the pools have the others."""
    joint: Answer
    """The joint instances for their share on their GPUs, proved best or checked, and verified by themselves."""
    pools: PoolsAnswer
    """The same of the pools."""
    metrics: SideBySideMetrics
    """Of both together."""
    objective: ObjectiveResult
    """Of both together, ms per request; terms are what either part adds."""
    verification: Verification
    """What the independent recomputation says of the sum and of every other split."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    conflicts: tuple[Conflict, ...] = ()
    """Always empty: what is proposed is feasible, or ``check`` names the rules that it breaks."""
    repairs: tuple[Repair, ...] = ()
    """Always empty."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    feasible: bool | None = None
    """Of ``check``: whether both parts keep every rule; None where nothing was fixed."""
    optimum: Answer | PoolsAnswer | SideBySideAnswer | None = None
    """Of ``check``: the best of all three kinds."""
    model: ModelRead | None = None
    """What was read of the model."""

    @property
    def label(self) -> str:
        """Short name such as ``20% to TP1·PP1·DP1 + 80% to prefill 2 × TP1 + decode 1 × TP2``."""
        joint = self.joint.strategy.label if self.joint.strategy is not None else ""
        return f"{self.share:.0%} to {joint}, {1 - self.share:.0%} to {self.pools.label}"

    def split_of(self, problem: Problem) -> BesideSplit:
        """What the joint instances have of the problem that this answers."""
        return BesideSplit(round(self.share * TENTHS), self.joint_gpus // unit_gpus(problem))

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        joint = self.joint.strategy.gpus if self.joint.strategy is not None else 0
        return joint + (self.pools.strategy.gpus if self.pools.strategy is not None else 0)
