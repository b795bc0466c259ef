"""The least changes to a problem file that make pools on an inventory feasible: one field each, solved again."""

from __future__ import annotations

import math

from optimizer.explain.common.least import least_that_fits
from optimizer.explain.common.numbers import count
from optimizer.explain.pools.repair import MOST_LIMIT, MOST_NODES
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Change, Conflict
from optimizer.results.pools import FixedPools, PoolsRepair
from optimizer.search.common.clock import Clock
from optimizer.search.pools.cluster_answer import ChosenPools
from optimizer.search.pools.cluster_solve import best_of, columns_on, keeps, rules_on


def cluster_repairs(
    problem: InventoryProblem, fixed: FixedPools, conflict: Conflict, clock: Clock
) -> tuple[PoolsRepair, ...]:
    """Repairs of the fields that the conflict speaks of; nodes of every group where they help."""
    found = [_rate(problem, fixed, clock)]
    found += [_nodes(problem, fixed, clock, index) for index in range(len(problem.groups))]
    for limit in problem.requirements.latency_limits:
        if limit.rule in conflict.rules:
            found.append(_limit(problem, fixed, clock, f"{limit.rule}_ms", limit.limit_ms))
    for losses in problem.survive:
        if f"survive_{losses.level}" in conflict.rules:
            found.append(_survive(problem, fixed, clock, losses.level, losses.count))
    return tuple(one for one in found if one is not None)


def _fits(problem: InventoryProblem, fixed: FixedPools, clock: Clock) -> bool:
    return bool(keeps(columns_on(problem, fixed), rules_on(problem), clock))


def _solved(
    problem: InventoryProblem, fixed: FixedPools, clock: Clock, field: str, old: object, new: object, said: str
) -> PoolsRepair | None:
    columns = columns_on(problem, fixed)
    found = best_of(columns, clock)
    if found.picked is None or columns is None:
        return None
    label = ChosenPools(columns, found.picked).strategy().label
    return PoolsRepair((Change(field, old, new),), f"{said}: {label}.", label)


def _nodes(problem: InventoryProblem, fixed: FixedPools, clock: Clock, index: int) -> PoolsRepair | None:
    group = problem.groups[index]
    if group.racks:
        return None
    now = group.nodes
    most = min(MOST_NODES * now, max(now + 1, 256 // group.free_gpus))
    least = least_that_fits(now, most, lambda nodes: _fits(with_nodes_of(problem, index, nodes), fixed, clock))
    if least is None:
        return None
    said = f"Set cluster.{index}.nodes ({group.name}) to {least} (now {now}), {count(least * group.free_gpus, 'GPU')} in all"
    return _solved(with_nodes_of(problem, index, least), fixed, clock, f"cluster.{index}.nodes", now, least, said)


def with_nodes_of(problem: InventoryProblem, index: int, nodes: int) -> InventoryProblem:
    """The inventory with so many nodes of one group."""
    groups = list(problem.groups)
    groups[index] = groups[index].model_copy(update={"nodes": nodes})
    return problem.model_copy(update={"groups": tuple(groups)})


def _at_rate(problem: InventoryProblem, steps: int) -> InventoryProblem:
    workload = problem.workload.model_copy(update={"requests_per_s": steps / 1000})
    return problem.model_copy(update={"workload": workload})


def _rate(problem: InventoryProblem, fixed: FixedPools, clock: Clock) -> PoolsRepair | None:
    now = math.ceil(problem.workload.requests_per_s * 1000)
    low, high = 0, now
    while high - low > max(1, now // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(_at_rate(problem, max(1, middle)), fixed, clock) else (low, middle)
    if not low:
        return None
    rate = low / 1000
    said = f"Send at most {rate:g} requests/s (workload.requests_per_s, now {now / 1000:g})"
    return _solved(_at_rate(problem, low), fixed, clock, "workload.requests_per_s", now / 1000, rate, said)


def _limit(problem: InventoryProblem, fixed: FixedPools, clock: Clock, field: str, now: float) -> PoolsRepair | None:
    step = max(0.1, round(now / 100, 1))
    start = math.floor(now / step)

    def allowing(steps: int) -> InventoryProblem:
        requirements = problem.requirements.model_copy(update={field: round(steps * step, 3)})
        return problem.model_copy(update={"requirements": requirements})

    least = least_that_fits(start, start * MOST_LIMIT + 1, lambda steps: _fits(allowing(steps), fixed, clock))
    if least is None:
        return None
    new = round(least * step, 3)
    said = f"Allow {field} = {new:g} (now {now:g}; requirements.{field})"
    return _solved(allowing(least), fixed, clock, f"requirements.{field}", now, new, said)


def _survive(problem: InventoryProblem, fixed: FixedPools, clock: Clock, level: str, now: int) -> PoolsRepair | None:
    for new in range(now - 1, -1, -1):
        kept = tuple(
            one.model_copy(update={"count": new}) if one.level == level else one
            for one in problem.survive
            if one.level != level or new
        )
        changed = problem.model_copy(update={"survive": kept})
        if _fits(changed, fixed, clock):
            said = f"Survive {count(new, 'GPU' if level == 'gpu' else level)} lost instead of {now} (requirements.survive.{level})"
            return _solved(changed, fixed, clock, f"requirements.survive.{level}", now, new, said)
    return None
