"""What must hold, what is best and what may be considered: requirements, objective, and limits of the search."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from optimizer.facts.base import Count, CountOrZero, Facts, Milliseconds, NonNegative, Positive, Share, Tokens
from optimizer.facts.model import WeightFormat

Metric = Literal["prefill", "ttft", "tpot", "e2e", "goodput"]
Percentile = Literal[50, 99]
Preset = Literal["balanced", "latency", "fault-tolerance", "throughput", "fewest-gpus", "cheapest", "capacity"]
FEWEST = ("fewest-gpus", "cheapest")
"""Presets under which equal nodes use as few GPUs as they can: where all GPUs cost the same, the fewest are the cheapest."""
KvFormat = Literal["fp16", "bf16", "fp8", "fp8_e5m2", "int8"]
"""``fp8`` is e4m3; whether an engine runs the others is for its rules (``engines/data/kernels``)."""
KV_NAMES = {"fp8_e4m3": "fp8", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"}
"""What engines call some of them."""


def kv_name(stated: object) -> object:
    """A KV format under the name it has here."""
    return KV_NAMES.get(stated, stated) if isinstance(stated, str) else stated


def _kv_formats(stated: object) -> object:
    """``auto`` alone is what engines take by themselves: the same as nothing stated."""
    if stated == "auto" or (isinstance(stated, list | tuple) and list(stated) == ["auto"]):
        return None
    return [kv_name(one) for one in stated] if isinstance(stated, list | tuple) else stated


MOST_BATCH = 4096
"""Of ``requirements.max_batch``."""


class Survive(Facts):
    """How many losses at once the service must carry its demand through."""

    gpu: int = Field(default=0, ge=0, le=2, strict=True, description="GPUs lost at once")
    node: int = Field(default=0, ge=0, le=2, strict=True, description="Nodes lost at once")
    demand_share: Share = Field(default=1.0, description="Share of requests_per_s that must still be carried")


class Goodput(Facts):
    """A share of requests that must each keep all of these limits."""

    share: Annotated[float, Field(gt=0, lt=1, strict=True)] = Field(
        description="Share of requests that keep every limit stated here, at least"
    )
    ttft_ms: Milliseconds | None = Field(default=None, description="Arrival to first token, ms")
    tpot_ms: Milliseconds | None = Field(default=None, description="Mean time per further token of the request, ms")
    e2e_ms: Milliseconds | None = Field(default=None, description="Arrival to last token, ms")

    @model_validator(mode="after")
    def _some(self) -> Goodput:
        if not self.limits:
            raise ValueError("goodput needs at least one of ttft_ms, tpot_ms and e2e_ms")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """Milliseconds by metric."""
        found = {"ttft": self.ttft_ms, "tpot": self.tpot_ms, "e2e": self.e2e_ms}
        return {name: value for name, value in found.items() if value is not None}


class LatencyLimit(Facts):
    """One latency requirement, e.g. the 99th percentile of TTFT within 1500 ms; for goodput the share that may miss."""

    metric: Metric
    percentile: Percentile
    limit_ms: Milliseconds

    @property
    def field(self) -> str:
        """The problem-file field, e.g. ``ttft_p99_ms``."""
        return self.rule if self.metric == "goodput" else f"{self.rule}_ms"

    @property
    def rule(self) -> str:
        """The rule's id, e.g. ``ttft_p99``."""
        return "goodput" if self.metric == "goodput" else f"{self.metric}_p{self.percentile}"


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
    e2e_p50_ms: Milliseconds | None = Field(default=None, description="Whole request, median: arrival to last token")
    e2e_p99_ms: Milliseconds | None = Field(default=None, description="The same, 99th percentile")
    goodput: Goodput | None = Field(
        default=None, description="Share of requests that must each be within limits of their own"
    )
    max_batch: Annotated[int, Field(ge=1, le=MOST_BATCH, strict=True)] | None = Field(
        default=None,
        description="Most sequences one replica may run at once (max_num_seqs); left out, the engine's own default",
    )
    min_batch: Count = Field(default=1, description="Fewest sequences one replica must be able to run at once")
    max_sequence_tokens: Tokens | None = Field(
        default=None,
        description="Longest prompt plus output to serve; left out, at least the longest request stated and, up to the "
        "model's context, as much as fits beside the load",
    )
    preemption_share: Annotated[float, Field(ge=1e-6, le=0.5, strict=True)] = Field(
        default=0.01,
        description="Share of the time in which the requests in progress may want more KV cache than there is; for none ever "
        "search.kv_reservation: full",
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
        for metric in ("prefill", "ttft", "tpot", "e2e"):
            for percentile in (50, 99):
                value = getattr(self, f"{metric}_p{percentile}_ms")
                if value is not None:
                    wanted.append(
                        LatencyLimit.model_validate({"metric": metric, "percentile": percentile, "limit_ms": value})
                    )
        if self.goodput is not None:
            missed = round(1 - self.goodput.share, 9)
            wanted.append(LatencyLimit(metric="goodput", percentile=99, limit_ms=missed))
        return tuple(wanted)


PartWeight = Annotated[float, Field(ge=0, le=1000, strict=True)]
"""Of a part of the objective; what counts is its ratio to the others."""
CountedMs = Annotated[float, Field(ge=0, le=1e9, strict=True)]
"""What something counts as, ms: an objective is compared in whole nanoseconds of 64 bits."""


class Objective(Facts):
    """What "best" means: expected milliseconds per request over failure states. See ``docs/model.md``."""

    preset: Preset = Field(default="balanced", description="What the weights below start from")
    latency_weight: PartWeight | None = Field(
        default=None, description="Weight of the expected time of served requests"
    )
    unserved_weight: PartWeight | None = Field(default=None, description="Weight of the penalty for unserved requests")
    unserved_penalty_ms: CountedMs | None = Field(
        default=None, description="What one request that cannot be served counts as, ms; with its weight at most 10^9"
    )
    gpu_ms: CountedMs | None = Field(
        default=None, description="What one GPU in use counts as, ms per request; all GPUs together at most 10^9"
    )
    tolerance: Annotated[float, Field(ge=0, le=1, strict=True)] | None = Field(
        default=None,
        description="With cluster: the share by which the objective may be above the least there is where that spends less: a lower price "
        "where every GPU has one, else fewer GPUs; left out, 0.01 for preset balanced without gpu_ms, else 0",
    )
    price_of_a_second: Positive | None = Field(
        default=None,
        description="In place of weights in ms: what a second of a request's time is worth, in the currency of the prices; GPU-hours "
        "then count at their price",
    )
    price_of_an_unserved_request: NonNegative | None = Field(
        default=None, description="Beside it: what a request that cannot be served costs"
    )


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
        description="off: EP 1; replica: EP 1 or TP; any: also one engine over several replicas, which hold whole experts (EP is TP x a "
        "divisor of DP) or slice each among them (MoE tensor parallel beside attention data parallel)",
    )
    decode_context_parallel: tuple[Count, ...] | None = Field(
        default=None,
        min_length=1,
        description="Degrees of decode context parallelism: TP ranks that share the tokens of a sequence's cache; left out, all that "
        "the engine runs with the model",
    )
    weight_precision: tuple[WeightFormat, ...] | None = Field(
        default=None, min_length=1, description="Left out: as the checkpoint is"
    )
    kv_precision: Annotated[tuple[KvFormat, ...] | None, BeforeValidator(_kv_formats)] = Field(
        default=None,
        min_length=1,
        description="Left out, or auto: what the checkpoint asks for, else the model's 16-bit type",
    )
    layer_imbalance: CountOrZero = Field(
        default=1, description="Layers by which the first and last stage may differ from an even split; 0: even only"
    )
    max_num_batched_tokens: Count = Field(default=8192, description="Prefill token budget of one engine step")
    token_budgets: Annotated[tuple[Count, ...], Field(min_length=1)] | Literal["engine"] | None = Field(
        default=None,
        description="Token budgets to choose among in place of max_num_batched_tokens: small ones keep decoding smooth, large "
        "ones prefill sooner; engine: those that the engine itself takes on one GPU or another",
    )
    kv_reservation: Literal["paged", "full"] = Field(
        default="paged",
        description="paged: cache is taken block by block, as engines do; full: every sequence slot reserves the longest "
        "sequence, so that none is ever preempted",
    )
    disabled_rules: tuple[str, ...] = Field(default=(), description="Ids of rules to switch off; the answer says so")
