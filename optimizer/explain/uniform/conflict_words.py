"""A conflict in one sentence a person would say: each rule with its limit and the best that the other rules allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.load import LoadPoints
from optimizer.costs.memory import memory_budget_bytes
from optimizer.costs.shapes import Bools, Shape
from optimizer.explain.common.numbers import amount, count, listing, milliseconds
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.search.common.scale import NEVER_NS, planned_ms, time_ns
from optimizer.search.common.scale import milliseconds as milliseconds_of
from optimizer.search.uniform.load_rules import METRIC_WORDS
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rules_for, rules_of
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.shape_rules import gpus_words
from optimizer.search.uniform.space import pipeline_degrees, tensor_degrees


def conflict_sentence(quantities: Quantities, fixed: Fixed | None, members: Sequence[str], ending: str) -> str:
    """``Because A, and because B, no strategy exists.``

    Args:
        q: quantities over the stated question, for what the other rules allow at best.
        members: ids of rules and names of search limits.
        ending: what follows from them, e.g. ``no strategy exists``.
    """
    clauses = [_clause(quantities, fixed, member, members) for member in members]
    if len(clauses) == 1:
        return f"Because {clauses[0]}, {ending}."
    rest = "".join(f", because {clause}" for clause in clauses[1:-1])
    return f"Because {clauses[0]}{rest}, and because {clauses[-1]}, {ending}."


def _clause(quantities: Quantities, fixed: Fixed | None, member: str, members: Sequence[str]) -> str:
    limit = _search_limit(quantities.problem, member)
    if limit is not None:
        return limit
    if member == "gpu_count":
        return _gpu_count(quantities)
    if member == "memory" and (whole := _weights_alone(quantities)) is not None:
        return whole
    rule = next(rule for rule in rules_of(quantities) if rule.id == member)
    if not quantities.space.rows:
        return rule.clause
    others = Screen(quantities, fixed, [other for other in members if other != member])
    viable = others.viable
    numbers: dict[str, Callable[[Quantities, Screen, Bools], str]] = {
        "memory": _memory,
        "concurrency": _concurrency,
        "request_rate": _request_rate,
        "max_batch": _max_batch,
        "min_batch": _min_batch,
        "tpot_full_batch": _full_batch,
    }
    if member == "kv_cache" and viable.any():
        return _kv_cache(quantities, members, viable)
    if member in numbers and viable.any():
        rest = _with_rest(quantities, members) if member in ("memory", "request_rate", "tpot_full_batch") else ""
        return numbers[member](quantities, others, viable) + rest
    for latency in quantities.problem.requirements.latency_limits:
        if latency.metric == "goodput" and member == "goodput":
            return rule.clause + _with_rest(quantities, members)
        if latency.rule == member:
            planned = planned_ms(latency.limit_ms, quantities.problem.requirements.margin)
            said = f"{METRIC_WORDS[latency.metric].lower()} may be at most {planned:,.6g} ms at P{latency.percentile}"
            least, when = _least(quantities, member, members, viable)
            if least >= NEVER_NS:
                return said
            return (
                f"{said} and is at least {milliseconds(milliseconds_of(least))}{when}{_with_rest(quantities, members)}"
            )
    return rule.clause


def _states(quantities: Quantities, members: Sequence[str]) -> list[tuple[LoadPoints, str]]:
    """The loads that the members judge, and when each is: everything up first, then after every loss to be survived."""
    survive = quantities.problem.requirements.survive
    return [(quantities.normal, "")] + [
        (
            quantities.surviving(level, losses, survive.demand_share),
            f" after losing any {count(losses, 'GPU' if level == 'gpu' else level)}",
        )
        for level, losses in (("gpu", survive.gpu), ("node", survive.node))
        if losses and f"survive_{level}" in members
    ]


def _least(quantities: Quantities, metric: str, members: Sequence[str], viable: Bools) -> tuple[int, str]:
    """The least that a metric's worst state can be among viable rows, ns, and which state of the best row that is."""
    if not viable.any():
        return NEVER_NS, ""
    states = _states(quantities, members)
    values = np.stack([time_ns(load.metric(metric)) for load, _ in states])
    best = int(np.flatnonzero(viable)[np.argmin(values.max(axis=0)[viable])])
    worst = int(np.argmax(values[:, best]))
    return int(values[worst, best]), states[worst][1]


def member_words(problem: Problem, member: str) -> str:
    """A rule or search limit as a clause without the numbers of any candidate, e.g. for what an optimum rests on."""
    limit = _search_limit(problem, member)
    if limit is not None:
        return limit
    if member == "gpu_count":
        return fixed_count(problem)
    sentence = next(rule.sentence for rule in rules_for(problem) if rule.id == member).rstrip(".")
    return sentence if sentence[1:2].isupper() else sentence[0].lower() + sentence[1:]


def _with_rest(quantities: Quantities, members: Sequence[str]) -> str:
    """Numbers depend on the other members that are rules; GPU count and search limits hold in what was considered anyway."""
    rules = {rule.id for rule in rules_of(quantities)} - {"gpu_count"}
    return " when the rest holds" if len(rules & set(members)) > 1 else ""


def _search_limit(problem: Problem, member: str) -> str | None:
    """What was allowed to be considered; None when the member is a rule."""
    search, model = problem.search, problem.model
    words = {
        "weight_precision": lambda: _only([*(search.weight_precision or (model.native_weight_format,))], "weights are"),
        "kv_precision": lambda: _only([*(search.kv_precision or (model.native_kv_format,))], "KV cache is"),
        "tensor_parallel": lambda: "only TP " + listing([str(v) for v in tensor_degrees(problem)]) + " is",
        "pipeline_parallel": lambda: "only PP " + listing([str(v) for v in pipeline_degrees(problem)]) + " is",
        "data_parallel": lambda: "only DP " + listing([str(v) for v in search.data_parallel or ()]) + " is",
        "expert_parallel": lambda: f"only expert parallelism '{search.expert_parallel}' is",
    }
    if member not in words:
        return None
    return f"{words[member]()} considered (search.{member})"


def _only(formats: Sequence[str], noun: str) -> str:
    return f"only {listing([str(f) for f in formats])} {noun}"


def _gpu_count(quantities: Quantities) -> str:
    there, least = (
        quantities.problem.hardware.gpus,
        int(quantities.space.gpus.min(initial=2**62)) if quantities.space.rows else 0,
    )
    if least > there:
        hardware = quantities.problem.hardware
        kept = f" {gpus_words(hardware)}" if hardware.idle_gpus_per_node else ""
        return f"the strategy uses {count(least, 'GPU')} and there {'is' if there == 1 else 'are'} {there:,}{kept}"
    return fixed_count(quantities.problem)


def fixed_count(problem: Problem) -> str:
    """That there are no more GPUs, and, where power keeps some from working, which those are."""
    there, hardware = problem.hardware.gpus, problem.hardware
    if hardware.idle_gpus_per_node:
        return f"there are {count(there, 'GPU')} {gpus_words(hardware)} (hardware.node_power_limit_watts)"
    return f"the GPU count is fixed at {there:,}"


def _weights_alone(quantities: Quantities) -> str | None:
    """The model against all GPUs together, when its weights alone are more than these candidate."""
    problem = quantities.problem
    budget = memory_budget_bytes(problem) * problem.hardware.gpus
    shapes = [
        Shape(1, 1, 1, shape.weight_format, shape.kv_format, (problem.model.layers,))
        for shape in {s.weight_format: s for s in quantities.space.shapes}.values()
    ]
    if not shapes:
        return None
    needed = AnalyticCosts(problem, shapes).memory().weights.max(axis=1)
    least = int(needed.min())
    if least <= budget:
        return None
    shape = shapes[int(needed.argmin())]
    size = problem.model.parameters / 1e9
    return (
        f"{size:,.{0 if size >= 100 else 1}f}B parameters in {shape.weight_format} need {_gib(least)} and "
        f"{count(problem.hardware.gpus, 'GPU')} offer{'s' if problem.hardware.gpus == 1 else ''} {_gib(budget)} "
        f"at {problem.requirements.gpu_memory_utilization:.0%}"
    )


def _gib(size: int) -> str:
    return f"{size / 1024**3:,.0f} GiB" if size >= 100 * 1024**3 else amount(size, "bytes")


def _memory(quantities: Quantities, others: Screen, viable: Bools) -> str:
    shapes = quantities.space.row_shape
    held = (
        quantities.memory.fixed[shapes] + np.maximum(others.least, 1)[:, None] * quantities.memory.per_sequence[shapes]
    )
    least = int(held.max(axis=1)[viable].min())
    share = quantities.problem.requirements.gpu_memory_utilization
    return (
        f"a GPU may hold {amount(memory_budget_bytes(quantities.problem), 'bytes')} ({share:.0%} of its memory) and the fullest "
        f"has to hold at least {amount(least, 'bytes')}"
    )


def _at(problem: Problem) -> str:
    users = problem.workload.users
    return f"at {problem.workload.requests_per_s:g} requests/s" if users is None else f"with {users.words}"


def _kv_cache(quantities: Quantities, members: Sequence[str], viable: Bools) -> str:
    at, share = _at(quantities.problem), quantities.problem.requirements.preemption_share
    said = f"requests in progress may want more KV cache than there is for at most {100 * share:g} % of the time"
    states = _states(quantities, members)
    short = np.stack([quantities.cache_shortfall(load, quantities.space.row_shape) for load, _ in states])
    best = int(np.flatnonzero(viable)[np.argmin(short.max(axis=0)[viable])])
    load, when = states[int(np.argmax(short[:, best]))]
    room, wanted = quantities.tightest_cache(load, best)
    if wanted is None:
        return f"{said}, and {at} requests pile up without end{when}"
    return f"{said}, and {at} they want {_gib(wanted)}{when} where there are {_gib(room)} at most"


def _concurrency(quantities: Quantities, others: Screen, viable: Bools) -> str:
    needed, room = quantities.normal.n99, others.most
    at = _at(quantities.problem)
    fitting = np.flatnonzero(viable & (needed <= quantities.space.slots))
    said = "at most 1 % of requests may find all sequence slots taken"
    if not len(fitting):
        return f"{said}, and {at} requests pile up without end"
    best = int(fitting[np.argmin((needed - room)[fitting])])
    return f"{said}, which {at} takes {count(int(needed[best]), 'slot')} in a replica where there is room for {int(room[best])}"


def _request_rate(quantities: Quantities, others: Screen, viable: Bools) -> str:
    slots = np.clip(others.most, 1, quantities.space.slots)
    done = quantities.completes(quantities.space.row_shape, slots) * quantities.space.row_dp
    most, rate = float(done[viable].max()), quantities.problem.workload.requests_per_s
    users = quantities.problem.workload.users
    if users is not None:
        return f"{users.words} send more requests than the replicas complete, at most {amount(most, 'requests/s')}"
    return f"{rate:g} requests/s arrive and the replicas complete at most {amount(most, 'requests/s')}"


def _max_batch(quantities: Quantities, others: Screen, viable: Bools) -> str:
    least = int(others.least[viable].min())
    limit = quantities.problem.max_batch
    return f"a replica may run at most {count(limit, 'sequence')} at once and would have to run {least:,}"


def _min_batch(quantities: Quantities, others: Screen, viable: Bools) -> str:
    most = int(others.most[viable].max())
    limit = quantities.problem.requirements.min_batch
    return f"a replica must be able to run {count(limit, 'sequence')} at once and has room for {most:,} at most"


def _full_batch(quantities: Quantities, others: Screen, viable: Bools) -> str:
    values = quantities.full_batch_tpot_ns[
        quantities.space.row_shape, np.clip(others.least, 1, quantities.space.slots) - 1
    ]
    least = milliseconds_of(int(values[viable].min()))
    limit = planned_ms(quantities.problem.requirements.tpot_p99_ms or 0.0, quantities.problem.requirements.margin)
    return (
        f"time per output token may be at most {limit:,.6g} ms even with every sequence slot taken and is at "
        f"least {milliseconds(least)}"
    )
