"""The least changes to a problem file that make pools feasible: one field each, solved again."""

from __future__ import annotations

import math

from optimizer.explain.common.least import least_that_fits
from optimizer.explain.common.numbers import count
from optimizer.facts.problem import Problem
from optimizer.results.answer import Change, Conflict
from optimizer.results.pools import FixedPools, PoolsRepair
from optimizer.search.common.clock import Clock
from optimizer.search.pools.answer import strategy_of
from optimizer.search.pools.solve import active_rules, at_rate, best, columns_of, feasible

MOST_NODES = 8
"""Times the nodes there are that are tried."""
MOST_LIMIT = 64
"""Times a latency limit that is tried."""


def repairs_of(problem: Problem, fixed: FixedPools, conflict: Conflict, clock: Clock) -> tuple[PoolsRepair, ...]:
    """Repairs of the fields that the conflict speaks of."""
    found = []
    for build in (_nodes, _rate):
        found.append(build(problem, fixed, clock))
    for limit in problem.requirements.latency_limits:
        if limit.rule in conflict.rules:
            found.append(_limit(problem, fixed, clock, f"{limit.rule}_ms", limit.limit_ms))
    for level in ("gpu", "node"):
        if f"survive_{level}" in conflict.rules:
            found.append(_survive(problem, fixed, clock, level))
    return tuple(one for one in found if one is not None)


def _fits(problem: Problem, fixed: FixedPools, clock: Clock) -> bool:
    return bool(feasible(columns_of(problem, fixed), active_rules(problem), clock))


def _solved(
    problem: Problem, fixed: FixedPools, clock: Clock, field: str, old: object, new: object, said: str
) -> PoolsRepair | None:
    columns = columns_of(problem, fixed)
    found = best(problem, fixed, columns, clock)
    if found.pair is None or columns is None:
        return None
    label = strategy_of(columns, found.pair).label
    return PoolsRepair((Change(field, old, new),), f"{said}: {label}.", label)


def with_nodes(problem: Problem, nodes: int) -> Problem:
    """The problem with so many nodes."""
    return problem.model_copy(update={"hardware": problem.hardware.model_copy(update={"nodes": nodes})})


def _nodes(problem: Problem, fixed: FixedPools, clock: Clock) -> PoolsRepair | None:
    now = problem.hardware.nodes
    most = min(MOST_NODES * now, max(now + 1, 1024 // problem.hardware.gpus_per_node))
    least = least_that_fits(now, most, lambda nodes: _fits(with_nodes(problem, nodes), fixed, clock))
    if least is None:
        return None
    said = f"Set hardware.nodes to {least} (now {now}), {count(least * problem.hardware.gpus_per_node, 'GPU')} in all"
    return _solved(with_nodes(problem, least), fixed, clock, "hardware.nodes", now, least, said)


def _rate(problem: Problem, fixed: FixedPools, clock: Clock) -> PoolsRepair | None:
    now = math.ceil(problem.workload.requests_per_s * 1000)
    low, high = 0, now
    while high - low > max(1, now // 1000):
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(at_rate(problem, max(1, middle)), fixed, clock) else (low, middle)
    if not low:
        return None
    rate = low / 1000
    said = f"Send at most {rate:g} requests/s (workload.requests_per_s, now {now / 1000:g})"
    return _solved(at_rate(problem, low), fixed, clock, "workload.requests_per_s", now / 1000, rate, said)


def _with(problem: Problem, **changes: object) -> Problem:
    return problem.model_copy(update={"requirements": problem.requirements.model_copy(update=changes)})


def _limit(problem: Problem, fixed: FixedPools, clock: Clock, field: str, now: float) -> PoolsRepair | None:
    step = max(0.1, round(now / 200, 1))
    start = math.floor(now / step)
    least = least_that_fits(
        start,
        start * MOST_LIMIT + 1,
        lambda steps: _fits(_with(problem, **{field: round(steps * step, 3)}), fixed, clock),
    )
    if least is None:
        return None
    new = round(least * step, 3)
    said = f"Allow {field} = {new:g} (now {now:g}; requirements.{field})"
    return _solved(_with(problem, **{field: new}), fixed, clock, f"requirements.{field}", now, new, said)


def _survive(problem: Problem, fixed: FixedPools, clock: Clock, level: str) -> PoolsRepair | None:
    now = getattr(problem.requirements.survive, level)
    for new in range(now - 1, -1, -1):
        changed = _with(problem, survive=problem.requirements.survive.model_copy(update={level: new}))
        if _fits(changed, fixed, clock):
            said = f"Survive {count(new, 'GPU' if level == 'gpu' else level)} lost instead of {now} (requirements.survive.{level})"
            return _solved(changed, fixed, clock, f"requirements.survive.{level}", now, new, said)
    return None
