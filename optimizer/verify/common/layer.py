"""One layer of one kind on one GPU: bytes held, bytes read, FLOP, and the products that experts run.

Other homes: ``costs/drafts.py``, ``costs/parameters.py``; docs/model.md, sections 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from optimizer.facts.model import LayerKind
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio, constant, exact, facts_of_costs
from optimizer.verify.common.beside import tokens_in_flight
from optimizer.verify.common.groups import Group
from optimizer.verify.common.loaded import beside_checkpoint
from optimizer.verify.common.mixed import mean_context
from optimizer.verify.common.weights import beside_experts, expert_padding, kv_share, one_expert

KV_BYTES = {"fp16": 2, "bf16": 2, "fp8": 1, "fp8_e5m2": 1, "int8": 1}


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes and FLOP per millisecond of one GPU at peak, as section 3 counts them."""

    bandwidth: Fraction
    """Of what stays in 16 bit, and of experts in any format."""
    linear_bandwidth: Fraction
    sixteen: Fraction
    linear: Fraction
    expert: Fraction
    linear_bytes: Fraction
    expert_bytes: Fraction


def rates_of(problem: Problem, weight_format: str) -> Rates:
    """Peak rates and bytes per parameter for a weight format on the problem's GPU and model."""
    gpu, model, formats = problem.hardware.gpu, problem.model, facts_of_costs().formats
    offered: dict[str, float] = {str(name): rate for name, rate in gpu.dense_tflops.items()}
    other = "bf16" if model.native_dtype == "fp16" else "fp16"
    sixteen = exact(offered.get(model.native_dtype) or offered[other]) * 10**9

    generation = facts_of_costs().generations[gpu.kernel_generation]
    sixteen *= exact(generation.flops)

    def peak(name: str) -> Fraction:
        computed = next((found for found in formats[name].compute if found in offered), other)
        ratio = exact(offered[computed]) * 10**9 * exact(generation.flops) / sixteen
        if computed in ("fp16", "bf16") or ratio < Fraction(3, 2):
            return sixteen
        if ratio < Fraction(5, 2):
            return sixteen * constant("speedup_8bit")
        more = exact(generation.flops_4bit) / exact(generation.flops) if generation.flops_4bit else 1
        return sixteen * constant("speedup_4bit") * more

    # Four-bit checkpoints of models with routed experts convert only those; beside latent attention nothing is converted further.
    whole, half = (Fraction(2), sixteen), (Fraction(1), peak("fp8"))
    converted = {"mxfp4": whole, "nvfp4": whole if model.mla else half} if model.experts else {}
    linear = exact(formats[weight_format].linear), peak(weight_format)
    linear_bytes, linear_rate = converted.get(weight_format, linear)
    expert_rate = peak(weight_format)
    if weight_format == model.native_weight_format:
        linear_rate, expert_rate = peak(model.linear_format), peak(model.expert_format)
    read_bytes = linear_bytes
    if weight_format == model.native_weight_format:
        read_bytes = exact(formats[model.linear_format].linear)
    bandwidth = exact(gpu.memory_bandwidth_gb_per_s) * 10**6 * exact(generation.bandwidth)
    narrow = Fraction(1)
    if read_bytes < Fraction(3, 4):
        narrow = constant("bandwidth_4bit")
    elif read_bytes < Fraction(3, 2):
        narrow = constant("bandwidth_8bit")
    return Rates(
        bandwidth=bandwidth,
        linear_bandwidth=bandwidth * narrow,
        sixteen=sixteen,
        linear=linear_rate,
        expert=expert_rate,
        linear_bytes=linear_bytes,
        expert_bytes=exact(formats[weight_format].expert),
    )


@dataclass(frozen=True, slots=True)
class LayerExperts:
    """Routed experts of a layer on one GPU; layers with equal values behave alike."""

    count: int
    per_token: int
    read_ms: Fraction
    """Reading one expert, averaged over the GPUs that hold the experts."""
    token_ms: Fraction
    """Products of one sequence of each rank in a decode step."""
    touch_ms: Fraction
    """Launching the work of one expert that a step needs."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What one layer of a kind is to one GPU of the group."""

    linear_parameters: Fraction
    dense_bytes: Fraction
    expert_bytes: Fraction
    beside_bytes: int
    """What an engine holds of it beyond the checkpoint's bytes."""
    token_bytes: int
    kept: int
    """Tokens of a sequence that are kept at most, 0: all."""
    admitted: int
    """The same while its prompt is worked on, which an engine asks room for when it starts."""
    state_bytes: Fraction
    in_flight_bytes: int
    """Of each token whose step is not done."""
    sequence_bytes: Fraction
    cache_bytes_read: Fraction
    attention_flop: Fraction
    experts: LayerExperts | None
    expert_prefill_ms: Fraction
    """Per prompt token."""
    prefill_flop_width: Fraction
    window: int
    attention_launch_ms: Fraction
    """What its kind of attention launches beyond T_LAYER, on a GPU whose layer_time_factor is 1."""


def _slowdown(problem: Problem, group: Group, kind: LayerKind) -> Fraction:
    """What expert products take beyond their FLOP: narrow ones move more, and one GPU of the group has the most tokens."""
    if not kind.experts:
        return Fraction(1)
    width = max(1, problem.model.expert_ffn_width)
    busiest = 1 + constant("imbalance") * (group.expert - 1) / kind.experts
    return (1 + constant("expert_width_half") / width) * busiest


def cache_only(token_bytes: int, whole: int) -> LayerFacts:
    """A draft's cache, kept of every token, as a layer; its weights and times are counted elsewhere."""
    nothing = Fraction(0)
    return LayerFacts(
        linear_parameters=nothing,
        dense_bytes=nothing,
        expert_bytes=nothing,
        beside_bytes=0,
        token_bytes=token_bytes,
        kept=0,
        admitted=0,
        in_flight_bytes=0,
        state_bytes=nothing,
        sequence_bytes=Fraction(token_bytes * whole),
        cache_bytes_read=nothing,
        attention_flop=nothing,
        experts=None,
        expert_prefill_ms=nothing,
        prefill_flop_width=nothing,
        window=0,
        attention_launch_ms=nothing,
    )


def layer_of(problem: Problem, group: Group, kind: LayerKind, rates: Rates) -> LayerFacts:
    """Sections 2 and 3 for one layer; times in milliseconds, sizes in bytes."""
    model, t = problem.model, group.tensor
    kv_heads, share = kv_share(model, kind, t)
    linear = Fraction(kind.sharded_parameters, t) + kind.key_value_parameters * share + kind.replicated_parameters
    one = one_expert(model, kind, group, rates.expert_bytes) / group.expert_gpus
    values = kind.kv_values_per_token_per_kv_head * kv_heads + kind.kv_values_per_token_replicated
    # Of the tokens that ranks deal out among them, each has its share, and up to a block more.
    token_bytes = ceil_ratio(values * KV_BYTES[group.kv_format] + kind.index_bytes_per_token, group.contexts)
    uneven = 16 * (group.contexts - 1) * token_bytes
    kept = ceil_ratio(problem.max_sequence_tokens, 16) * 16
    unsettled = tokens_in_flight(problem)
    seen = mean_context(problem)
    most = admitted = 0
    if kind.window_tokens:
        most = admitted = ceil_ratio(kind.window_tokens, 16) * 16 + 16
        if unsettled:
            admitted = ceil_ratio(kind.window_tokens + unsettled - 1, 16) * 16 + 16
        kept = min(kept, admitted)
        seen = min(seen, kind.window_tokens)
    read = Fraction(kind.state_values_per_sequence * 2, t) + kind.state_values_replicated * 2
    state = read + kind.unread_bytes_per_sequence + uneven
    shared = Fraction(kind.expert_parameters, group.expert_gpus)
    flop = 2 * group.ranks * kind.experts_per_token * shared * _slowdown(problem, group, kind)
    experts = None
    if kind.experts:
        experts = LayerExperts(
            count=kind.experts,
            per_token=kind.experts_per_token,
            read_ms=one / (constant("eta_expert_bw") * rates.bandwidth),
            token_ms=flop / (constant("eta_expert_flops") * rates.expert),
            touch_ms=exact(problem.hardware.gpu.layer_time_factor) * constant("t_touched"),
        )
    return LayerFacts(
        linear_parameters=linear,
        dense_bytes=sum(beside_experts(model, kind, group, rates.linear_bytes), Fraction(0)),
        expert_bytes=one * kind.experts * expert_padding(problem, group),
        beside_bytes=beside_checkpoint(problem, kind, group),
        token_bytes=token_bytes,
        kept=most,
        admitted=admitted,
        state_bytes=state,
        sequence_bytes=token_bytes * kept
        + state
        + kind.bytes_per_token_in_flight * min(problem.max_sequence_tokens, max(0, unsettled - 1)),
        in_flight_bytes=kind.bytes_per_token_in_flight,
        cache_bytes_read=token_bytes * seen + 2 * read,
        attention_flop=Fraction(2 * kind.attention_flop_width * seen, t),
        experts=experts,
        expert_prefill_ms=flop / (constant("eta_prefill_expert_flops") * rates.expert) if kind.experts else Fraction(0),
        prefill_flop_width=Fraction(kind.prefill_flop_width, t),
        window=kind.window_tokens,
        attention_launch_ms=attention_launch(kind),
    )


def attention_launch(kind: LayerKind) -> Fraction:
    """T_LATENT where one vector a token is cached for all heads, and T_INDEXER where an indexer chooses what is read."""
    compressed = not kind.kv_values_per_token_per_kv_head and kind.kv_values_per_token_replicated
    total = constant("t_latent") if compressed else Fraction(0)
    return total + constant("t_indexer") if kind.index_heads else total
