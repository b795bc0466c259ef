"""What would make ``serving: any`` feasible: of each field the least change with which one of the three kinds keeps every rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import joint_part, not_split, pools_part, units_of
from optimizer.results.answer import Answer, Change
from optimizer.results.pools import FixedPools, PoolsAnswer, PoolsRepair
from optimizer.search.common.clock import Clock
from optimizer.search.pools.side_by_side import SplitBounds
from optimizer.search.pools.solve import active_rules, columns_of, feasible
from optimizer.search.uniform.replica_counts import any_allowed

FINENESS = 1000
"""Parts of a field's value now in which it is moved, where it is no whole number."""
MOST_ASKED = 8
"""Splits of a changed problem that are asked whether they keep every rule, the least bound first."""
MOST_BESIDE_S = 10.0
"""Seconds that are spent on what both side by side would need less of than either kind alone."""


def repairs_of_any(
    problem: Problem, joint: Answer, pools: PoolsAnswer, best: Callable[[Problem], Any], clock: Clock
) -> tuple[PoolsRepair, ...]:
    """Repairs by field, each the least over joint instances, pools, and both side by side.

    Args:
        joint, pools: infeasible answers with repairs of their own.
        best: the best answer of all kinds to a changed problem.
    """
    nearest: dict[tuple[str, ...], PoolsRepair] = {}
    for one in (*(_of_joint(repair) for repair in joint.repairs), *pools.repairs):
        fields = tuple(sorted(change.field for change in one.changes))
        if fields not in nearest or _less(one, nearest[fields]):
            nearest[fields] = one
    if not_split(problem) is not None or units_of(problem) < 2:
        return tuple(nearest.values())
    within = Clock(MOST_BESIDE_S if clock.left_s is None else min(MOST_BESIDE_S, clock.left_s), clock.ctrl_c)
    return tuple(_nearer(problem, one, best, within) or one for one in nearest.values())


def _of_joint(repair: Any) -> PoolsRepair:
    return PoolsRepair(repair.changes, repair.sentence, f"joint {repair.result.label}")


def _less(one: PoolsRepair, other: PoolsRepair) -> bool:
    """Whether one changes all of its fields by less, where that can be told."""
    pairs = list(zip(_sorted(one), _sorted(other), strict=True))
    if not all(_is_number(change.old) and _is_number(change.new) for pair in pairs for change in pair):
        return False
    return all(abs(mine.new - mine.old) <= abs(its.new - its.old) for mine, its in pairs)


def _sorted(repair: PoolsRepair) -> list[Change]:
    return sorted(repair.changes, key=lambda change: change.field)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nearer(problem: Problem, repair: PoolsRepair, best: Callable[[Problem], Any], clock: Clock) -> PoolsRepair | None:
    """A smaller change of the same field with which both side by side keep every rule; None: none is known."""
    change = repair.changes[0]
    if len(repair.changes) > 1 or not _is_number(change.old) or not _is_number(change.new):
        return None
    step = 1.0 if isinstance(change.old, int) else _step(change.old)
    steps = math.floor(abs(change.new - change.old) / step + 1e-9)
    toward = step if change.new > change.old else -step
    # ``low`` steps from what is stated are not enough, ``high`` are: as many as either kind alone needs.
    low, high, found = 0, steps, None
    while high - low > 1 and not clock.over:
        # Most often both side by side need as much: one step less is asked about first.
        middle = high - 1 if found is None else (low + high) // 2
        value = _rounded(change.old + middle * toward, change.old)
        if not _beside_fits(changed(problem, change.field, value), clock):
            if found is None:
                return None
            low = middle
        else:
            high, found = middle, value
    if found is None:
        return None
    answer = best(changed(problem, change.field, found))
    if getattr(answer, "objective", None) is None:
        return None
    said = f"Set {change.field} to {found:g} (now {change.old:g}): {answer.label}."
    return PoolsRepair((Change(change.field, change.old, found),), said, answer.label)


def _step(value: float) -> float:
    """A thousandth of a value, as one of 1, 2 and 5 times a power of ten."""
    exponent = math.floor(math.log10(value / FINENESS))
    return min((digit * 10.0**exponent for digit in (1, 2, 5, 10)), key=lambda one: abs(one - value / FINENESS))


def _rounded(value: float, old: float) -> float | int:
    return round(value) if isinstance(old, int) else round(value, 6)


def changed(problem: Problem, field: str, value: object) -> Problem:
    """The problem with one field, named as in the file, set to a value."""
    first, *rest = field.split(".")
    return problem.model_copy(update={first: _set(getattr(problem, first), rest, value)})


def _set(section: Any, names: list[str], value: object) -> Any:
    if not names:
        return value
    return section.model_copy(update={names[0]: _set(getattr(section, names[0]), names[1:], value)})


def _beside_fits(problem: Problem, clock: Clock) -> bool:
    """Whether some split is known of which either part keeps every rule."""
    for _, split in SplitBounds(problem).left(math.inf)[:MOST_ASKED]:
        if clock.over:
            return False
        part = pools_part(problem, split)
        if feasible(columns_of(part, FixedPools()), active_rules(part), clock) and any_allowed(
            joint_part(problem, split)
        ):
            return True
    return False
