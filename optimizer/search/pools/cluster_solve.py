"""The best pools of an inventory by the preset's tiers, proved; or that there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Status
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import new_solver, outcome_of, solve_stoppable
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_model import ClusterModel, cluster_rule_ids, own_masks
from optimizer.search.pools.cluster_prices import OptionBounds, bounds_of
from optimizer.search.pools.options import PARTS, PoolOptions


@dataclass(frozen=True, slots=True)
class Picked:
    """Options of both pools, group after group, and the groups whose nodes both share."""

    options: tuple[tuple[int, ...], tuple[int, ...]]
    together: frozenset[int]


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """What a search found."""

    outcome: Status
    picked: Picked | None = None
    bound_ns: int | None = None


def rules_on(problem: InventoryProblem) -> tuple[str, ...]:
    """Rules that are on."""
    return tuple(rule for rule in cluster_rule_ids(problem) if rule not in problem.search.disabled_rules)


def columns_on(problem: InventoryProblem, fixed: FixedPools = FixedPools()) -> ClusterColumns | None:
    """Columns of every option; None where no pools can be built at all."""
    options = PoolOptions(problem, fixed)
    return ClusterColumns(options) if all(options.blocks) else None


def run(model: ClusterModel, clock: Clock, minimise: Any = None) -> tuple[Status, Any]:
    """Solve a model."""
    if minimise is not None:
        model.model.minimize(minimise)
    solver = new_solver()
    if clock.left_s is not None:
        solver.parameters.max_time_in_seconds = clock.left_s
    status, _ = solve_stoppable(solver, model.model, None, clock.ctrl_c)
    return outcome_of(status, model.model), solver


def keeps(columns: ClusterColumns | None, rules: Sequence[str], clock: Clock | None = None) -> bool | None:
    """Whether some pools keep the given rules; None: not known."""
    if columns is None:
        return False
    model = ClusterModel(columns, rules)
    if not model.possible:
        return False
    outcome, _ = run(model, clock or Clock())
    return None if outcome == "unknown" else outcome != "infeasible"


def picked_of(model: ClusterModel, solver: Any) -> Picked:
    """What a solution chose."""
    sides: list[list[int]] = [[], []]
    for side, group in model.places:
        for option, taken in zip(model.of[side][group].tolist(), model.taken[side, group], strict=True):
            if solver.value(taken):
                sides[side].append(option)
    shared = frozenset(
        g
        for g, one in enumerate(model.together)
        if solver.value(one) and all(solver.value(model.used[side, g]) for side in (0, 1))
    )
    return Picked((tuple(sides[0]), tuple(sides[1])), shared)


TIERS = {"fewest-gpus": ["gpus"], "throughput": ["peak"], "least-price": ["price"]}
CORE = 40
"""Options a side that an answer is first looked for among; where that settles nothing, three times as many."""
SMALL = 120
"""Options of both sides that are searched at once."""
MOST_EXACT = 6000
"""Options of both sides that are searched to the end; of more the bound by prices and the best that was found are stated."""


def best_of(columns: ClusterColumns | None, clock: Clock, rules: Sequence[str] | None = None) -> FoundCluster:
    """The best pools: first among few options, then among all that the bounds of ``cluster_prices`` leave."""
    if columns is None:
        return FoundCluster("infeasible")
    from optimizer.search.pools.cluster_answer import ChosenPools

    rules = rules_on(columns.problem) if rules is None else rules
    masks = own_masks(columns, rules)
    if not all(mask.any() for mask in masks):
        return FoundCluster("infeasible")
    if columns.problem.objective.preset in TIERS or sum(int(mask.sum()) for mask in masks) <= SMALL:
        return _by_tiers(columns, clock, rules, masks)
    best: FoundCluster | None = None
    known, bounds = None, bounds_of(columns, masks, None)
    left, size = masks, CORE
    while sum(int(one.sum()) for one in left) > max(SMALL, 2 * size):
        if size > MOST_EXACT:
            return best or _by_tiers(columns, clock, rules, masks)
        found = _by_tiers(columns, clock, rules, _few(columns, left, bounds, size), known, ["value"])
        size *= 3
        if found.picked is None:
            if found.outcome == "unknown":
                return best or FoundCluster("unknown")
            continue
        known = ChosenPools(columns, found.picked).value_ns()
        bounds = bounds_of(columns, masks, float(known))
        best = FoundCluster("feasible", found.picked, min(known, int(bounds.least)))
        left = _at_most(masks, bounds, known)
    last = _by_tiers(columns, clock, rules, left, known)
    if last.picked is None and best is not None:
        return best
    return last


def _at_most(masks: tuple[Bools, Bools], bounds: OptionBounds, known: int) -> tuple[Bools, Bools]:
    """Options that an answer may have which is no worse than a known one."""
    most = known * (1 + 1e-9) + 1
    first, second = (mask & (bound <= most) for mask, bound in zip(masks, bounds.through, strict=True))
    return first, second


def _few(columns: ClusterColumns, masks: tuple[Bools, Bools], bounds: OptionBounds, size: int) -> tuple[Bools, Bools]:
    """The options of least bound, whole pools and halves first."""
    found = []
    for side, mask in enumerate(masks):
        share = columns.options.share[side]
        coarse = mask & ((share == PARTS) | (2 * share == PARTS))
        chosen = np.zeros(len(mask), dtype=np.bool_)
        for some in (coarse, mask):
            at = np.flatnonzero(some & np.isfinite(bounds.through[side]))
            chosen[at[np.argsort(bounds.through[side][at], kind="stable")[: size // 2]]] = True
        found.append(chosen)
    return found[0], found[1]


def _by_tiers(
    columns: ClusterColumns,
    clock: Clock,
    rules: Sequence[str],
    only: tuple[Bools, Bools],
    known: int | None = None,
    tiers: Sequence[str] | None = None,
) -> FoundCluster:
    """The best of some options, tier after tier.

    Args:
        only: options that may be chosen.
        known: ns of an answer that is there already.
        tiers: what is minimised, one after the other; left out, what the preset says.
    """
    problem = columns.problem
    held: list[tuple[str, int]] = []
    picked: Picked | None = None
    bound: int | None = None
    for tier in tiers or [*TIERS.get(problem.objective.preset, []), "value", "gpus", "spread"]:
        model = ClusterModel(columns, rules, only)
        if not model.possible:
            return FoundCluster("infeasible")
        for name, value in held:
            if name == "peak":
                model.model.add(model.peak >= value)
            else:
                model.model.add(getattr(model, name) <= value)
        if known is not None:
            model.model.add(model.value <= known)
        goal = -model.peak if tier == "peak" else getattr(model, tier)
        outcome, solver = run(model, clock, goal)
        if outcome == "infeasible":
            return FoundCluster("infeasible")
        if outcome == "unknown":
            return FoundCluster("feasible" if picked else "unknown", picked, bound)
        picked = picked_of(model, solver)
        if tier == "value":
            bound = int(solver.best_objective_bound)
        if outcome != "optimal":
            return FoundCluster("feasible", picked, bound)
        held.append((tier, int(solver.value(model.peak if tier == "peak" else goal))))
    return FoundCluster("optimal", picked)
