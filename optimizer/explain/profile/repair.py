"""Least changes of one field that let a day be carried: nodes, changes an hour, the burst margin, losses, limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from optimizer.explain.common.least import least_that_fits
from optimizer.explain.common.numbers import count
from optimizer.explain.common.patience import EXPLAIN_WITHIN_S
from optimizer.facts.profile import ProfileProblem
from optimizer.results.answer import Change
from optimizer.results.day import DayRepair
from optimizer.search.common.clock import Clock

MOST_NODES = 8
"""Times the nodes there are that are tried."""
MOST_LIMIT = 64
"""Times a latency limit that is tried."""
MOST_CHANGES = 64
"""Changes an hour that are tried."""
PARTS = 100
"""Steps in which the burst margin is lowered."""

Day: TypeAlias = Any
"""A ``ProfileProblem``, or a ``ClusterDayProblem``: what is changed of them has the same names."""
Names = Callable[[Day], str | None]
"""Short name of a plan for a changed day; None: none is known to be there."""


def day_repairs(day: Day, plan: Names, clock: Clock) -> tuple[tuple[DayRepair, ...], bool]:
    """(changes of one field each, found by solving the changed day; whether time ran out before all were tried).

    Args:
        plan: solves a changed day.
    """
    if clock.limit_s is None:
        clock = Clock(EXPLAIN_WITHIN_S, clock.ctrl_c)
    found: list[DayRepair] = []
    for change, said, changed in _changes(day, plan, clock):
        label = plan(changed)
        if label is not None:
            found.append(DayRepair((change,), f"{said}; {label} then carries the day.", label))
    return tuple(found), clock.over


def _changes(day: Day, plan: Names, clock: Clock) -> Iterator[tuple[Change, str, Day]]:
    """Every field with the least of it that is enough."""

    def least(low: int, high: int, changed: Callable[[int], Day]) -> int | None:
        def fits(step: int) -> bool:
            return not clock.over and plan(changed(step)) is not None

        # Doubling first: little more is often enough, and much more takes long to look at.
        step, known = 1, low
        while low + step < high and not fits(low + step):
            known, step = low + step, 2 * step
        return least_that_fits(known, min(high, low + step), fits) if high > low else None

    for field, now, at in _nodes(day):
        step = least(now, MOST_NODES * now, at)
        if step is not None:
            yield Change(field, now, step), f"Set {field} to {step} (now {now})", at(step)
    most = day.schedule.most_changes_per_hour
    if most is not None:
        step = least(most, MOST_CHANGES, lambda k: _scheduled(day, most_changes_per_hour=k))
        if step is not None:
            field = "schedule.most_changes_per_hour"
            said = f"Set {field} to {step} (now {most})"
            yield Change(field, most, step), said, _scheduled(day, most_changes_per_hour=step)
    margin = day.schedule.burst_margin
    if margin:

        def lower(k: int) -> float:
            return float(round(margin * (PARTS - k) / PARTS, 6))

        step = least(0, PARTS, lambda k: _margin(day, lower(k)))
        if step is not None:
            said = f"Lower schedule.burst_margin to {lower(step):g} (now {margin:g})"
            yield Change("schedule.burst_margin", margin, lower(step)), said, _margin(day, lower(step))
    for field, level, now, at in _losses(day):
        kept = next((k for k in range(now - 1, -1, -1) if not clock.over and plan(at(k)) is not None), None)
        if kept is not None:
            said = f"Let {count(kept, 'GPU' if level == 'gpu' else level)} be lost instead of {now} ({field})"
            yield Change(field, now, kept), said, at(kept)
    requirements = day.problem.requirements
    for limit in requirements.latency_limits:
        name = f"{limit.rule}_ms"
        if getattr(requirements, name, None) is None or limit.rule in day.problem.search.disabled_rules:
            continue
        unit = max(0.1, round(limit.limit_ms / 100, 1))
        start = math.floor(limit.limit_ms / unit)

        def allow(k: int, name: str = name, unit: float = unit) -> Day:
            changed = requirements.model_copy(update={name: round(k * unit, 3)})
            return _with(day, requirements=changed)

        step = least(start, start * MOST_LIMIT, allow)
        if step is not None:
            new, field = round(step * unit, 3), f"requirements.{name}"
            yield Change(field, limit.limit_ms, new), f"Allow {name} = {new:g} (now {limit.limit_ms:g})", allow(step)


def _with(day: Day, **changes: Any) -> Day:
    return day.model_copy(update={"problem": day.problem.model_copy(update=changes)})


def _scheduled(day: Day, **changes: Any) -> Day:
    return day.model_copy(update={"schedule": day.schedule.model_copy(update=changes)})


def _margin(day: Day, margin: float) -> Day:
    """With another burst margin, and the rates that follow."""
    before = 1 + day.schedule.burst_margin
    rates = tuple(rate / before * (1 + margin) for rate in day.rates)
    workload = day.problem.workload.model_copy(update={"requests_per_s": max(rates)})
    return _with(_scheduled(day, burst_margin=margin).model_copy(update={"rates": rates}), workload=workload)


def _nodes(day: Day) -> Iterator[tuple[str, int, Callable[[int], Day]]]:
    """(field, nodes now, the day with so many) of the nodes, or of those of every group without racks."""
    if isinstance(day, ProfileProblem):
        hardware = day.problem.hardware
        yield "hardware.nodes", hardware.nodes, lambda k: _with(day, hardware=hardware.model_copy(update={"nodes": k}))
        return
    for index, group in enumerate(day.problem.groups):
        if group.racks:
            continue

        def more(k: int, index: int = index) -> Day:
            groups = list(day.problem.groups)
            groups[index] = groups[index].model_copy(update={"nodes": k})
            return _with(day, groups=tuple(groups))

        yield f"cluster.{index}.nodes", group.nodes, more


def _losses(day: Day) -> Iterator[tuple[str, str, int, Callable[[int], Day]]]:
    """(field, level, losses now, the day with so many) of every level."""
    if isinstance(day, ProfileProblem):
        requirements = day.problem.requirements
        for level in ("gpu", "node"):
            now = getattr(requirements.survive, level)
            if now:

                def fewer(k: int, level: str = level) -> Day:
                    survive = requirements.survive.model_copy(update={level: k})
                    return _with(day, requirements=requirements.model_copy(update={"survive": survive}))

                yield f"requirements.survive.{level}", level, now, fewer
        return
    for losses in day.problem.survive:

        def less(k: int, level: str = losses.level) -> Day:
            kept = tuple(
                one.model_copy(update={"count": k}) if one.level == level else one
                for one in day.problem.survive
                if one.level != level or k
            )
            return _with(day, survive=kept)

        yield f"requirements.survive.{losses.level}", losses.level, losses.count, less
