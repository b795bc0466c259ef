"""What an answer about prefill and decode pools consists of."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Change, Conflict, ModelRead, ObjectiveResult, RuleResult, Status, Verification


@dataclass(frozen=True, slots=True)
class FixedPool:
    """Decisions of one pool that a person made; None is free."""

    tensor_parallel: int | None = None
    expert_parallel: int | None = None
    count: int | None = None
    max_num_seqs: int | None = None
    weight_precision: str | None = None
    kv_precision: str | None = None

    @property
    def any(self) -> bool:
        """Whether anything is fixed."""
        return any(getattr(self, name) is not None for name in self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class FixedPools:
    """Decisions of both pools that a person made."""

    prefill: FixedPool = FixedPool()
    decode: FixedPool = FixedPool()

    @property
    def any(self) -> bool:
        """Whether anything is fixed."""
        return self.prefill.any or self.decode.any


@dataclass(frozen=True, slots=True)
class PoolStrategy:
    """Decisions of one pool; symbols as in ``docs/disaggregated.md``, section 1."""

    instances: int
    tensor_parallel: int
    expert_parallel: int
    max_num_seqs: int
    """Of a decode rank; of a prefill rank the prompts that share a step."""
    weight_precision: str
    kv_precision: str
    nodes: int
    """Nodes that the pool is spread over evenly."""

    @property
    def engine_ranks(self) -> int:
        """d: data-parallel ranks of one instance."""
        return max(1, self.expert_parallel // self.tensor_parallel)

    @property
    def instance_gpus(self) -> int:
        """S: GPUs of one instance."""
        return self.tensor_parallel * self.engine_ranks

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return self.instances * self.instance_gpus

    @property
    def label(self) -> str:
        """Short name such as ``2 × TP4`` or ``1 × TP1·DP16·EP16``."""
        ranks = f"·DP{self.engine_ranks}" if self.engine_ranks > 1 else ""
        expert = f"·EP{self.expert_parallel}" if self.expert_parallel > 1 else ""
        return f"{self.instances} × TP{self.tensor_parallel}{ranks}{expert}"


@dataclass(frozen=True, slots=True)
class PoolsStrategy:
    """Both pools."""

    prefill: PoolStrategy
    decode: PoolStrategy

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return self.prefill.gpus + self.decode.gpus

    @property
    def label(self) -> str:
        """Short name such as ``prefill 2 × TP4 + decode 1 × TP8``."""
        return f"prefill {self.prefill.label} + decode {self.decode.label}"


@dataclass(frozen=True, slots=True)
class PoolMetrics:
    """What one pool holds and carries."""

    weights_bytes_per_gpu: int
    cache_room_bytes_per_gpu: int
    """What the budget leaves for the cache on one GPU."""
    cache_wanted_bytes_per_gpu: int | None
    """What is held of it at the 99th percentile; None: requests pile up."""
    busy: float | None
    """Share of the time that a prefill rank works on prompts; of a decode rank requests/s over the most it completes."""
    link_busy: float | None
    """Share of the time that a GPU's link sends or receives cache."""
    capacity_per_s: float
    """Requests/s that the pool works off at most."""
    concurrency_p50: int | None
    concurrency_p99: int | None
    """Requests in progress at a decode rank; None for prefill, and where requests pile up."""


@dataclass(frozen=True, slots=True)
class PoolsMetrics:
    """What a pair of pools delivers. None: no finite value, because requests pile up."""

    prefill: PoolMetrics
    decode: PoolMetrics
    prefill_p50_ms: float | None
    prefill_p99_ms: float | None
    transfer_ms: float
    """Of the mean prompt's cache, no other in the way."""
    transfer_longest_ms: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    request_mean_ms: float | None
    tokens_per_s: float
    peak_tokens_per_s: float
    max_request_rate: float
    availability: float


@dataclass(frozen=True, slots=True)
class PoolsRepair:
    """Changes to the problem file that make an infeasible problem feasible, with what is best then."""

    changes: tuple[Change, ...]
    sentence: str
    result: str


@dataclass(frozen=True, slots=True)
class PoolsAnswer:
    """What ``solve`` or ``check`` found for pools."""

    problem: str
    status: Status
    strategy: PoolsStrategy | None
    metrics: PoolsMetrics | None
    objective: ObjectiveResult | None
    rules: tuple[RuleResult, ...]
    verification: Verification
    explanation: tuple[str, ...]
    link: str
    """What the cache crosses: NVLink, PCIe or network."""
    conflicts: tuple[Conflict, ...] = ()
    repairs: tuple[PoolsRepair, ...] = ()
    search_limits: tuple[str, ...] = ()
    feasible: bool | None = None
    optimum: PoolsAnswer | None = None
    model: ModelRead | None = None

    @property
    def label(self) -> str:
        """Short name of the pools; empty where there are none."""
        return self.strategy.label if self.strategy is not None else ""
