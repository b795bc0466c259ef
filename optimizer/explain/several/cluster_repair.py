"""Least changes of one field that let an inventory serve several models: nodes of a group, and what each model asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from optimizer.explain.common.least import least_that_fits
from optimizer.explain.common.numbers import count
from optimizer.explain.common.patience import EXPLAIN_WITHIN_S
from optimizer.explain.several.cluster_conflict import fits
from optimizer.explain.several.repair import MOST_LIMIT, MOST_NODES, RATE_PARTS
from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Change
from optimizer.results.several import SeveralRepair
from optimizer.search.common.clock import Clock
from optimizer.search.inventory.answer import plan_label
from optimizer.search.several.cluster_solve import SharedSolver, TablesOfModels

Changed = Callable[[int], ClusterModelsProblem]


def cluster_repairs(
    problem: ClusterModelsProblem, known: TablesOfModels, clock: Clock
) -> tuple[tuple[SeveralRepair, ...], bool]:
    """(changes of one field each, nodes first, then what each model asks; whether time ran out before all were tried)."""
    if clock.limit_s is None:
        clock = Clock(EXPLAIN_WITHIN_S, clock.ctrl_c)
    found: list[SeveralRepair] = []
    builders = [_nodes(problem, index, known, clock) for index in range(len(problem.groups))]
    for number in range(len(problem.models)):
        builders += [build(problem, number, known, clock) for build in (_rate, _survive, _limits)]
    for builder in builders:
        if clock.over:
            break
        found += [one for one in builder if one is not None]
    return tuple(found), clock.over


def _nodes(
    problem: ClusterModelsProblem, index: int, known: TablesOfModels, clock: Clock
) -> Iterator[SeveralRepair | None]:
    group = problem.groups[index]
    step = group.racks or 1
    most = (MOST_NODES - 1) * group.nodes // step

    def changed(steps: int) -> ClusterModelsProblem:
        groups = list(problem.groups)
        groups[index] = group.model_copy(update={"nodes": group.nodes + steps * step})
        return problem.with_groups(tuple(groups))

    # Doubling first: few nodes more are often enough.
    high = 1
    while high < most and not fits(changed(high), known, clock):
        high = min(most, 2 * high)
    steps = _least(0, high, changed, known, clock)
    if steps is not None:
        new = group.nodes + steps * step
        said = f"Set cluster.{index}.nodes ({group.name}) to {new} (now {group.nodes})"
        yield _repair(changed(steps), known, clock, Change(f"cluster.{index}.nodes", group.nodes, new), said)


def _rate(
    problem: ClusterModelsProblem, number: int, known: TablesOfModels, clock: Clock
) -> Iterator[SeveralRepair | None]:
    served = problem.models[number]
    work = served.problem.workload
    now, field = work.requests_per_s, f"models.{number}.workload.requests_per_s"

    def value(less: int) -> float:
        return float(f"{now * (RATE_PARTS - less) / RATE_PARTS:.4g}")

    def changed(less: int) -> ClusterModelsProblem:
        workload = work.model_copy(update={"requests_per_s": value(less)})
        return problem.with_model(number, served.problem.model_copy(update={"workload": workload}))

    less = _least(0, RATE_PARTS - 1, changed, known, clock)
    if less is not None:
        said = f"Send {served.name} at most {value(less):g} requests/s ({field}, now {now:g})"
        yield _repair(changed(less), known, clock, Change(field, now, value(less)), said)


def _survive(
    problem: ClusterModelsProblem, number: int, known: TablesOfModels, clock: Clock
) -> Iterator[SeveralRepair | None]:
    served = problem.models[number]
    one = served.problem
    for losses in one.survive:
        for new in range(losses.count - 1, -1, -1):
            rest = tuple(
                loss.model_copy(update={"count": new}) if loss.level == losses.level else loss
                for loss in one.survive
                if loss.level != losses.level or new
            )
            changed = problem.with_model(number, one.model_copy(update={"survive": rest}))
            if fits(changed, known, clock):
                field = f"models.{number}.requirements.survive.{losses.level}"
                lost = count(new, "GPU" if losses.level == "gpu" else losses.level)
                said = f"Let {served.name} survive {lost} lost instead of {losses.count} ({field})"
                yield _repair(changed, known, clock, Change(field, losses.count, new), said)
                break
    if one.survive:
        yield from _share(problem, number, known, clock)


def _share(
    problem: ClusterModelsProblem, number: int, known: TablesOfModels, clock: Clock
) -> Iterator[SeveralRepair | None]:
    served = problem.models[number]
    now = served.problem.demand_share

    def changed(less: int) -> ClusterModelsProblem:
        share = round(now * (RATE_PARTS - less) / RATE_PARTS, 4)
        return problem.with_model(number, served.problem.model_copy(update={"demand_share": share}))

    less = _least(0, RATE_PARTS - 1, changed, known, clock)
    if less is not None:
        new = changed(less).models[number].problem.demand_share
        field = f"models.{number}.requirements.survive.demand_share"
        said = f"Let {served.name} carry {new:.1%} of its demand after losses instead of {now:.0%} ({field})"
        yield _repair(changed(less), known, clock, Change(field, now, new), said)


def _limits(
    problem: ClusterModelsProblem, number: int, known: TablesOfModels, clock: Clock
) -> Iterator[SeveralRepair | None]:
    served = problem.models[number]
    one: InventoryProblem = served.problem
    for limit in one.requirements.latency_limits:
        field = f"{limit.rule}_ms"
        if getattr(one.requirements, field, None) is None or limit.rule in one.search.disabled_rules:
            continue
        now = limit.limit_ms
        step = max(0.1, round(now / 100, 1))
        start = math.floor(now / step)

        def changed(
            steps: int, field: str = field, step: float = step, one: InventoryProblem = one
        ) -> ClusterModelsProblem:
            requirements = one.requirements.model_copy(update={field: round(steps * step, 3)})
            return problem.with_model(number, one.model_copy(update={"requirements": requirements}))

        least = _least(start, start * MOST_LIMIT, changed, known, clock)
        if least is not None:
            new = round(least * step, 3)
            dotted = f"models.{number}.requirements.{field}"
            said = f"Allow {served.name} {field} = {new:g} (now {now:g}; {dotted})"
            yield _repair(changed(least), known, clock, Change(dotted, now, new), said)


def _least(low: int, high: int, changed: Changed, known: TablesOfModels, clock: Clock) -> int | None:
    """The least step above ``low`` and up to ``high`` that is enough, as far as it was known in time."""
    if high <= low:
        return None
    return least_that_fits(low, high, lambda steps: bool(fits(changed(steps), known, clock)))


def _repair(
    problem: ClusterModelsProblem, known: TablesOfModels, clock: Clock, change: Change, said: str
) -> SeveralRepair | None:
    solver = SharedSolver(problem, known, deadline=clock.deadline, ctrl_c=clock.ctrl_c)
    found: Any = solver.any()
    if found.best is None:
        return None
    label = "; ".join(
        f"{served.name}: {plan_label(served.problem, mine, placed)}"
        for served, mine, placed in zip(problem.models, solver.candidates, found.best.placed, strict=True)
    )
    return SeveralRepair((change,), f"{said}; {label} then keeps every rule.", label)
