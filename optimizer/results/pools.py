"""What an answer about prefill and decode pools consists of."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Change, Conflict, ModelRead, ObjectiveResult, RuleResult, Status, Verification


@dataclass(frozen=True, slots=True)
class FixedPool:
    """Decisions of one pool that a person made; None is free."""

    tensor_parallel: int | None = None
    """TP."""
    expert_parallel: int | None = None
    """EP."""
    count: int | None = None
    """Instances."""
    max_num_seqs: int | None = None
    """Sequences of a decode rank, or prompts that share a step of a prefill rank."""
    weight_precision: str | None = None
    """Format of the weights."""
    kv_precision: str | None = None
    """Format of the KV cache."""
    group: str | None = None
    """Group of an inventory that the pool stands on, alone."""

    @property
    def any(self) -> bool:
        """Whether anything is fixed."""
        return any(getattr(self, name) is not None for name in self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class FixedPools:
    """Decisions of both pools that a person made."""

    prefill: FixedPool = FixedPool()
    """Of the prefill pool."""
    decode: FixedPool = FixedPool()
    """Of the decode pool."""

    @property
    def any(self) -> bool:
        """Whether anything is fixed."""
        return self.prefill.any or self.decode.any


@dataclass(frozen=True, slots=True)
class PoolStrategy:
    """Decisions of one pool; symbols as in ``docs/disaggregated.md``, section 1."""

    instances: int
    """Engine instances of the pool."""
    tensor_parallel: int
    """TP of each."""
    expert_parallel: int
    """EP of each; 1: experts are not spread."""
    max_num_seqs: int
    """Of a decode rank; of a prefill rank the prompts that share a step."""
    weight_precision: str
    """Format of the weights."""
    kv_precision: str
    """Format of the KV cache."""
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
    """The pool that works through prompts."""
    decode: PoolStrategy
    """The pool that produces tokens."""

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
    """Bytes of weights on a GPU."""
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
    """Requests in progress at a decode rank, median; None: as for the 99th percentile."""
    concurrency_p99: int | None
    """Requests in progress at a decode rank; None for prefill, and where requests pile up."""


@dataclass(frozen=True, slots=True)
class PoolsMetrics:
    """What a pair of pools delivers. None: no finite value, because requests pile up."""

    prefill: PoolMetrics
    """Of the prefill pool."""
    decode: PoolMetrics
    """Of the decode pool."""
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
    """Output tokens/s of the pool that is full first, whatever the latencies."""
    max_request_rate: float
    """Requests/s up to which every limit holds."""
    availability: float
    """Share of requests served, failures counted."""


@dataclass(frozen=True, slots=True)
class PoolsRepair:
    """Changes to the problem file that make an infeasible problem feasible, with what is best then."""

    changes: tuple[Change, ...]
    """What to set, all together."""
    sentence: str
    """The changes in words."""
    result: str
    """Short name of what is best then."""


@dataclass(frozen=True, slots=True)
class PoolsAnswer:
    """What ``solve`` or ``check`` found for pools."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    strategy: PoolsStrategy | None
    """The best pair; None where there is none."""
    metrics: PoolsMetrics | None
    """Of the pair."""
    objective: ObjectiveResult | None
    """Of the pair, ms per request."""
    rules: tuple[RuleResult, ...]
    """Every rule applied to the pair."""
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
    optimum: PoolsAnswer | None = None
    """Of ``check``: the answer without the fixed decisions."""
    model: ModelRead | None = None
    """What was read of the model."""

    @property
    def label(self) -> str:
        """Short name of the pools; empty where there are none."""
        return self.strategy.label if self.strategy is not None else ""
