"""From a choice in the space to what people read: strategy, metrics, objective terms and judged rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np

from optimizer.costs.failures import STATES
from optimizer.costs.load import LoadPoints
from optimizer.costs.shapes import Ints
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.inventory import NodeGroup
from optimizer.facts.workload import KV_BLOCK_TOKENS
from optimizer.results.answer import Metrics, ObjectiveResult, RuleResult, Strategy
from optimizer.search.common.scale import NEVER_NS, bytes_up, milliseconds, time_ns
from optimizer.search.uniform.capacity import RATE_STEP_PER_S, carried_rates
from optimizer.search.uniform.quantities import Quantities, demand_of
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rules_of

_AT_ONCE = 128


def strategy_of(quantities: Quantities, choice: Choice) -> Strategy:
    """The decisions of a choice."""
    shape = quantities.space.shapes[int(quantities.space.row_shape[choice.row])]
    return shape.strategy(int(quantities.space.row_dp[choice.row]), choice.max_num_seqs)


def carried_states(quantities: Quantities, choice: Choice) -> list[bool]:
    """Whether the demand is carried with 0…4 instances down."""
    return [int(quantities.slots_to_carry[down][choice.row]) <= choice.max_num_seqs for down in range(STATES)]


def objective_of(quantities: Quantities, choice: Choice, bound_ns: int | None) -> ObjectiveResult:
    """Objective value with its terms, beside a proven bound (the value itself when None)."""
    row = choice.row
    values, (rest_served, rest_unserved) = quantities.state_values, quantities.rest_values
    served, unserved = int(rest_served[row]), int(rest_unserved[row])
    for down, carried in enumerate(carried_states(quantities, choice)):
        if carried:
            served += int(values.carried[row, down])
        else:
            served += int(values.served[row, down])
            unserved += int(values.unserved[row, down])
    gpus = int(quantities.gpu_ns[row])
    total = served + unserved + gpus
    bound = total if bound_ns is None else bound_ns
    return ObjectiveResult(
        value=milliseconds(total),
        bound=milliseconds(bound),
        gap=0.0 if total == bound else (total - bound) / max(abs(total), 1),
        unit="ms",
        terms={"served": milliseconds(served), "unserved": milliseconds(unserved), "gpus": milliseconds(gpus)},
    )


def judge_rules(quantities: Quantities, choice: Choice) -> tuple[RuleResult, ...]:
    """Every rule applied to the choice; switched-off rules are marked."""
    disabled = set(quantities.problem.search.disabled_rules)
    return tuple(
        replace(rule.judge(quantities, choice), enabled=rule.id not in disabled) for rule in rules_of(quantities)
    )


def metrics_of(quantities: Quantities, choice: Choice) -> Metrics:
    """Every metric of the choice."""
    row, n = choice.row, choice.max_num_seqs
    shape = int(quantities.space.row_shape[row])
    memory, problem = quantities.memory, quantities.problem
    stages = list(quantities.costs.table.class_of_stage[shape])
    per_stage, cache = stage_bytes(quantities, shape, n)
    per_stage, cache = per_stage[stages], cache[stages]
    normal = quantities.normal
    overloaded = bool(normal.overloaded[row])

    def ms(name: str) -> float | None:
        value = int(time_ns(normal.metric(name))[row])
        return None if value >= NEVER_NS else milliseconds(value)

    completion = float(quantities.completes(quantities.space.row_shape[[row]], np.array([n]))[0])
    output, demand = problem.workload.output_tokens, demand_of(quantities, row)
    availability = _availability(quantities, choice)
    return Metrics(
        **bill([(problem.hardware, int(quantities.space.gpus[row]))], demand * output * availability),
        weights_bytes_per_gpu=int(memory.weights[shape].max()),
        kv_cache_bytes_per_gpu=int(cache.max()),
        kv_cache_tokens=int(memory.capacity_tokens(quantities.budget, n)[shape]),
        max_sequence_tokens=longest_sequence(quantities, choice),
        memory_bytes_per_gpu=int(per_stage.max()),
        memory_utilization=float(per_stage.max() / problem.hardware.gpu.memory_bytes),
        prefill_p50_ms=ms("prefill_p50"),
        prefill_p99_ms=ms("prefill_p99"),
        ttft_p50_ms=ms("ttft_p50"),
        ttft_p99_ms=ms("ttft_p99"),
        tpot_p50_ms=ms("tpot_p50"),
        tpot_p99_ms=ms("tpot_p99"),
        tpot_full_batch_ms=milliseconds(int(quantities.full_batch_tpot_ns[shape, n - 1])),
        request_mean_ms=ms("mean_ms"),
        requests_per_s=demand,
        tokens_per_s=demand * output,
        peak_tokens_per_s=completion * int(quantities.space.row_dp[row]) * output,
        max_request_rate=max_request_rate(quantities, choice),
        concurrency_p50=None if overloaded else int(normal.n50[row]),
        concurrency_p99=None if overloaded else int(normal.n99[row]),
        availability=availability,
        memory_bytes_per_stage=tuple(int(v) for v in per_stage),
        weights_bytes_per_stage=tuple(int(v) for v in memory.weights[shape][stages]),
        e2e_p50_ms=ms("e2e_p50"),
        prefix_kept_s=None if overloaded else prefix_kept_s(quantities, choice),
        e2e_p99_ms=ms("e2e_p99"),
        goodput=None if problem.requirements.goodput is None or overloaded else 1 - float(normal.goodput[row]),
    )


HOUR_S, MILLION = 3600, 10**6


class Bill(TypedDict):
    """Figures of the metrics that follow from what a GPU costs and draws."""

    price_per_hour: float | None
    price_per_million_output_tokens: float | None
    kilowatts_at_most: float | None
    kwh_per_million_output_tokens_at_most: float | None


def bill(used: Sequence[tuple[HardwareFacts | NodeGroup, int]], served_tokens_per_s: float) -> Bill:
    """What the GPUs in use cost and draw, in all and for a million output tokens, by the names of the metrics.

    Args:
        used: hardware and how many of its GPUs are in use; what is not known of some of them is None.
    """

    def total(of_each: Sequence[tuple[float | None, int]]) -> float | None:
        known = [one * gpus for one, gpus in of_each if one is not None]
        return sum(known) if len(known) == len(of_each) else None

    hourly = total([(one.price_per_gpu_hour, gpus) for one, gpus in used])
    watts = total([(one.gpu.tdp_watts, gpus) for one, gpus in used])
    power = None if watts is None else watts / 1000
    millions = served_tokens_per_s * HOUR_S / MILLION

    def each(value: float | None) -> float | None:
        return None if value is None or millions <= 0 else value / millions

    return {
        "price_per_hour": hourly,
        "price_per_million_output_tokens": each(hourly),
        "kilowatts_at_most": power,
        "kwh_per_million_output_tokens_at_most": each(power),
    }


def stage_bytes(quantities: Quantities, shape: int, slots: int) -> tuple[Ints, Ints]:
    """Bytes of a GPU of each stage class of a shape, and the cache among them, (C,) each.

    Paged, an engine takes all that the budget leaves, as many whole blocks as the tightest stage holds; else what the slots reserve.
    """
    memory = quantities.memory
    if memory.held is None:
        cache: Ints = slots * memory.kv_per_sequence[shape]
    else:
        cache = int(memory.capacity_tokens(quantities.budget, slots)[shape]) * memory.kv_per_token[shape]
    return memory.beside_cache(slots)[shape] + cache, cache


def prefix_kept_s(quantities: Quantities, choice: Choice) -> float | None:
    """Seconds for which the cache that the load leaves keeps a prefix after its last use: new tokens push it out."""
    work, held, row = quantities.problem.workload, quantities.memory.held, choice.row
    if work.prefix is None or held is None:
        return None
    shape = int(quantities.space.row_shape[row])
    one = LoadPoints(**{name: getattr(quantities.normal, name)[[row]] for name in LoadPoints.__dataclass_fields__})
    left = np.maximum(
        0.0,
        quantities.room[shape]
        - held.wanted(np.array([shape]), one, quantities.problem.requirements.preemption_share)[0],
    )
    each = quantities.memory.kv_per_token[shape]
    rate = demand_of(quantities, row) / int(quantities.space.row_dp[row])
    filled = rate * (work.fresh(work.prompt_tokens) + work.output_tokens)
    return float((left[each > 0] / each[each > 0]).min() / filled) if (each > 0).any() else None


def longest_sequence(quantities: Quantities, choice: Choice) -> int:
    """The longest sequence served: as stated; left out and paged, the longest that fits beside what is in progress.

    It is never below the longest request that the workload states, nor above the model's context.
    """
    problem, shape = quantities.problem, int(quantities.space.row_shape[choice.row])
    held, least, most = quantities.memory.held, problem.longest_request_tokens, problem.model.max_context_tokens
    if held is None or problem.requirements.max_sequence_tokens is not None:
        return problem.max_sequence_tokens
    one = LoadPoints(**{f: getattr(quantities.normal, f)[[choice.row]] for f in LoadPoints.__dataclass_fields__})
    if one.overloaded[0]:
        return least
    wanted = bytes_up(held.wanted(np.array([shape]), one, problem.requirements.preemption_share))[0]
    left = quantities.room[shape] - wanted
    # A longer sequence never holds less: a few lengths at a time, between those that fit and those that do not.
    fits, beyond = -1, -(-most // KV_BLOCK_TOKENS) + 1
    while beyond - fits > 1:
        step = -(-(beyond - fits - 1) // _AT_ONCE)
        probes = np.arange(fits + 1, beyond, step)
        room = (quantities.costs.sequence_bytes(shape, probes * KV_BLOCK_TOKENS) <= left).all(axis=1)
        count = int(room.cumprod().sum())
        fits = int(probes[count - 1]) if count else fits
        beyond = int(probes[count]) if count < len(probes) else beyond
    return min(most, max(least, fits * KV_BLOCK_TOKENS))


def _availability(quantities: Quantities, choice: Choice) -> float:
    """Expected share of requests served over all failure states; 0 when the demand is not carried with all instances up."""
    row = choice.row
    carried = carried_states(quantities, choice)
    if not carried[0]:
        return 0.0
    lost = float(quantities.down.rest_mean[row])
    lost += sum(j * float(quantities.down.probability[row, j]) for j, fine in enumerate(carried) if not fine)
    return 1 - lost / int(quantities.space.instances[row])


def max_request_rate(quantities: Quantities, choice: Choice) -> float:
    """Largest service rate, in steps of 0.001 requests/s, within the slots and every latency limit that is on."""
    steps, _ = carried_rates(quantities, np.array([choice.row]), np.array([choice.max_num_seqs]))
    return round(int(steps[0]) * RATE_STEP_PER_S, 3)
