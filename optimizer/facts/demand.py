"""What arrives and what must hold: the workload, the requirements, the objective, and what the search may consider."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimizer.facts.base import Count, CountOrZero, Facts, Milliseconds, NonNegative, Positive, Share, Tokens
from optimizer.facts.model import WeightFormat

Metric = Literal["prefill", "ttft", "tpot"]
Percentile = Literal[50, 99]
Preset = Literal["balanced", "latency", "fault-tolerance", "throughput", "fewest-gpus", "capacity"]
KvFormat = Literal["fp16", "bf16", "fp8"]


class Workload(Facts):
    """Requests that arrive at random (Poisson) at a mean rate."""

    prompt_tokens: Tokens = Field(description="Mean prompt length, tokens")
    output_tokens: Tokens = Field(description="Mean output length, tokens")
    requests_per_s: Positive = Field(description="Mean arrival rate over the whole service, requests/s")
    prompt_tokens_p99: Tokens | None = Field(
        default=None, description="99th-percentile prompt length; left out, every prompt has the mean length"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Workload:
        if self.prompt_tokens_p99 is not None and self.prompt_tokens_p99 < self.prompt_tokens:
            raise ValueError(
                f"prompt_tokens_p99 = {self.prompt_tokens_p99} is below the mean prompt_tokens = {self.prompt_tokens}"
            )
        return self

    @property
    def longest_prompt_tokens(self) -> int:
        """The prompt length that 99th percentiles are planned for."""
        return self.prompt_tokens_p99 or self.prompt_tokens


class Survive(Facts):
    """How many losses at once the service must carry its demand through."""

    gpu: int = Field(default=0, ge=0, le=2, strict=True, description="GPUs lost at once")
    node: int = Field(default=0, ge=0, le=2, strict=True, description="Nodes lost at once")
    demand_share: Share = Field(default=1.0, description="Share of requests_per_s that must still be carried")


class LatencyLimit(Facts):
    """One latency requirement, e.g. the 99th percentile of TTFT within 1500 ms."""

    metric: Metric
    percentile: Percentile
    limit_ms: Milliseconds

    @property
    def field(self) -> str:
        """The problem-file field, e.g. ``ttft_p99_ms``."""
        return f"{self.metric}_p{self.percentile}_ms"


class Requirements(Facts):
    """Limits the answer has to keep. A limit left out does not exist."""

    prefill_p50_ms: Milliseconds | None = Field(
        default=None, description="Prefill, median: prompt scheduled to prompt done"
    )
    prefill_p99_ms: Milliseconds | None = Field(default=None, description="The same, 99th percentile")
    ttft_p50_ms: Milliseconds | None = Field(default=None, description="First token, median: arrival to first token")
    ttft_p99_ms: Milliseconds | None = Field(default=None, description="The same, 99th percentile")
    tpot_p50_ms: Milliseconds | None = Field(default=None, description="Decode latency per output token, median")
    tpot_p99_ms: Milliseconds | None = Field(default=None, description="The same, 99th percentile")
    max_batch: Annotated[int, Field(ge=1, le=4096, strict=True)] | None = Field(
        default=None,
        description="Most sequences one replica may run at once (max_num_seqs); left out, the engine's own default",
    )
    min_batch: Count = Field(default=1, description="Fewest sequences one replica must be able to run at once")
    max_sequence_tokens: Tokens | None = Field(
        default=None,
        description="Longest prompt plus output to serve; left out, at least the longest request stated and, up to the "
        "model's context, as much as fits beside the load",
    )
    preemption_share: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.01,
        description="Share of the time in which the requests in progress may want more KV cache than there is",
    )
    gpu_memory_utilization: Share = Field(default=0.9, description="Share of each GPU's memory that may be used")
    margin: float = Field(
        default=0,
        ge=0,
        le=10,
        strict=True,
        description="Share by which every latency limit is planned short: predicted x (1 + margin) must be within it",
    )
    survive: Survive = Field(default=Survive(), description="Losses that must be survived")

    @model_validator(mode="after")
    def _ordered(self) -> Requirements:
        if self.max_batch is not None and self.min_batch > self.max_batch:
            raise ValueError(f"min_batch = {self.min_batch} is above max_batch = {self.max_batch}")
        return self

    @property
    def latency_limits(self) -> tuple[LatencyLimit, ...]:
        """Every stated latency limit, in a fixed order."""
        wanted: list[LatencyLimit] = []
        for metric in ("prefill", "ttft", "tpot"):
            for percentile in (50, 99):
                value = getattr(self, f"{metric}_p{percentile}_ms")
                if value is not None:
                    wanted.append(
                        LatencyLimit.model_validate({"metric": metric, "percentile": percentile, "limit_ms": value})
                    )
        return tuple(wanted)


class Objective(Facts):
    """What "best" means: expected milliseconds per request over failure states. See ``docs/model.md``."""

    preset: Preset = Field(default="balanced", description="What the weights below start from")
    latency_weight: NonNegative | None = Field(
        default=None, description="Weight of the expected time of served requests"
    )
    unserved_weight: NonNegative | None = Field(default=None, description="Weight of the penalty for unserved requests")
    unserved_penalty_ms: NonNegative | None = Field(
        default=None, description="What one request that cannot be served counts as, ms"
    )
    gpu_ms: NonNegative | None = Field(default=None, description="What one GPU in use counts as, ms per request")


class SearchLimits(Facts):
    """What the optimizer may consider. Nothing outside is ever called impossible."""

    tensor_parallel: tuple[Count, ...] | None = Field(
        default=None, min_length=1, description="TP degrees; left out, divisors of the heads"
    )
    pipeline_parallel: tuple[Count, ...] | None = Field(
        default=None, min_length=1, description="PP degrees; left out, 1 to 16"
    )
    data_parallel: tuple[Count, ...] | None = Field(
        default=None, min_length=1, description="DP degrees; left out, all that fit"
    )
    expert_parallel: Literal["off", "replica", "any"] = Field(
        default="any",
        description="off: EP 1; replica: EP 1 or TP; any: also TP x divisors of DP, one engine over several replicas",
    )
    weight_precision: tuple[WeightFormat, ...] | None = Field(
        default=None, min_length=1, description="Left out: as the checkpoint is"
    )
    kv_precision: tuple[KvFormat, ...] | None = Field(
        default=None, min_length=1, description="Left out: the model's 16-bit type"
    )
    layer_imbalance: CountOrZero = Field(
        default=1, description="Layers by which the first and last stage may differ from an even split; 0: even only"
    )
    max_num_batched_tokens: Count = Field(default=8192, description="Prefill token budget of one engine step")
    kv_reservation: Literal["paged", "full"] = Field(
        default="paged",
        description="paged: cache is taken block by block, as engines do; full: every sequence slot reserves the longest "
        "sequence, so that none is ever preempted",
    )
    disabled_rules: tuple[str, ...] = Field(default=(), description="Ids of rules to switch off; the answer says so")
