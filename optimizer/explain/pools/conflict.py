"""Which rules leave no pair of pools: a minimal set, by leaving rules out one at a time."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.common.numbers import amount, count, listing
from optimizer.facts.problem import Problem
from optimizer.results.answer import Conflict, RuleResult
from optimizer.search.common.clock import Clock
from optimizer.search.pools.answer import judge_rules, strategy_of
from optimizer.search.pools.model import PoolColumns, sentence_of
from optimizer.search.pools.solve import RowPair, active_rules, at_rate, best_keeping, columns_of, feasible

LATER = (
    "prefill_kv_cache",
    "decode_kv_cache",
    "decode_concurrency",
    "prefill_capacity",
    "link",
    "placement",
    "gpu_count",
)
"""Left out last, the plainest at the end, so that these stay where several sets conflict: what the link cannot move piles up."""
IDLE_STEPS = 1
"""Thousandths of a request/s at which a limit is asked about that no load is to blame for."""


def conflict_of(problem: Problem, columns: PoolColumns | None, clock: Clock) -> Conflict:
    """A minimal set of rules that cannot hold together."""
    if columns is None:
        said = (
            "No pair of pools can be built: no prefill and decode shape that the engine runs, that its connector joins and of "
            "which one instance each has room on the GPUs there are."
        )
        return Conflict(("gpu_count",), said, True)
    rules = in_order(active_rules(problem), _out_of_reach(problem, columns, clock))
    kept, minimal = list(rules), True
    for rule in rules:
        fits = feasible(columns, [one for one in kept if one != rule], clock)
        if fits is False:
            kept.remove(rule)
        elif fits is None:
            minimal = False
    return Conflict(tuple(kept), _sentence(problem, kept), minimal)


def in_order(rules: Sequence[str], out_of_reach: Sequence[str]) -> list[str]:
    """Rules in the order in which they are left out.

    Args:
        out_of_reach: limits that break even with no load to speak of; they stay before any other.
    """
    found = sorted(rules, key=lambda rule: 1 + LATER.index(rule) if rule in LATER else 0)
    return sorted(found, key=lambda rule: rule in out_of_reach)


def _out_of_reach(problem: Problem, columns: PoolColumns, clock: Clock) -> list[str]:
    """Latency limits that no pools keep however few requests come."""
    limits = [limit.rule for limit in problem.requirements.latency_limits if limit.rule in active_rules(problem)]
    idle = columns_of(at_rate(problem, IDLE_STEPS), columns.tables.fixed) if limits else None
    return [rule for rule in limits if idle is not None and feasible(idle, [rule], clock) is False]


def _sentence(problem: Problem, rules: list[str]) -> str:
    """The conflict in words; every rule names its pool."""
    if not rules:
        return "No pair of pools is left."
    words = [said_rule(problem, rule) for rule in rules]
    gpus = problem.hardware.gpus
    return f"No pair of pools on {count(gpus, 'GPU')} keeps {'this' if len(words) == 1 else 'these together'}: {listing(words)}."


def said_rule(problem: Problem, rule: str) -> str:
    """A rule as part of a conflict; it names its pool."""
    rate = problem.workload.requests_per_s
    limits = {one.rule: one for one in problem.requirements.latency_limits}
    if rule in limits:
        name = {"ttft": "TTFT", "tpot": "TPOT of the decode pool", "prefill": "prefill time of the prefill pool"}
        one = limits[rule]
        return f"{name[one.metric]} P{one.percentile} within {amount(one.limit_ms, 'ms')} ({rule})"
    known = {
        "gpu_count": f"the GPUs there are, {problem.hardware.gpus:,} (gpu_count)",
        "placement": f"room on {count(problem.hardware.nodes, 'node')} (placement)",
        "prefill_memory": "memory of the prefill instances (prefill_memory)",
        "decode_memory": "memory of the decode instances (decode_memory)",
        "prefill_capacity": f"a prefill pool that keeps up with {rate:g} requests/s (prefill_capacity)",
        "prefill_kv_cache": "cache of the prefill instances (prefill_kv_cache)",
        "link": "the bandwidth of the link between the pools (link)",
        "decode_concurrency": f"a decode pool with a free slot for 99 % of {rate:g} requests/s (decode_concurrency)",
        "decode_kv_cache": "cache of the decode instances (decode_kv_cache)",
        "state_blocks": "blocks for the states of a decode instance's sequences (state_blocks)",
        "min_batch": f"{problem.requirements.min_batch} sequences at a decode instance (min_batch)",
        "tpot_full_batch": "TPOT of a full decode instance (tpot_full_batch)",
    }
    return known.get(rule, _inside(sentence_of(rule)) + f" ({rule})")


def _inside(sentence: str) -> str:
    """A sentence as part of another."""
    return f"{sentence[0].lower()}{sentence[1:].rstrip('.')}"


def least_broken(problem: Problem, columns: PoolColumns, clock: Clock) -> RowPair | None:
    """The pair that breaks the fewest rules, the definitions alone kept."""
    rules = active_rules(problem)
    kept: list[str] = []
    for rule in rules:
        if feasible(columns, [*kept, rule], clock):
            kept.append(rule)
    return best_keeping(columns, kept, clock)


def nearest_pair(problem: Problem, columns: PoolColumns, clock: Clock) -> list[str]:
    """The pair that comes nearest, and what it breaks."""
    pair = least_broken(problem, columns, clock)
    if pair is None:
        return []
    said = [f"Nearest: {strategy_of(columns, pair).label}."]
    return said + broken_words(judge_rules(columns, pair))


def broken_words(rules: Sequence[RuleResult]) -> list[str]:
    """What is broken; what only piles up because of it is named together."""
    broken = [rule for rule in rules if rule.enabled and not rule.holds]
    piling = [rule for rule in broken if isinstance(rule.actual, str) and "pile up" in rule.actual]
    plain = [rule for rule in broken if rule not in piling]
    said = [
        f"It breaks {rule.id}: {amount(rule.actual, rule.unit)}, allowed {amount(rule.limit, rule.unit)}."
        for rule in plain
    ]
    if piling:
        why = " then" if plain else ""
        said.append(
            f"Requests{why} pile up: {listing([rule.id for rule in piling])} {'has' if len(piling) == 1 else 'have'} no finite value."
        )
    return said
