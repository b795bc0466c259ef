"""The best pools of an inventory by the preset's tiers, proved; or that there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Status
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import new_solver, outcome_of, solve_stoppable
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_model import ClusterModel, cluster_rule_ids
from optimizer.search.pools.options import PoolOptions


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
        position = solver.value(model.pick[side, group])
        if position:
            sides[side].append(int(model.of[side][group][position - 1]))
    shared = frozenset(
        g
        for g, one in enumerate(model.together)
        if solver.value(one) and all(solver.value(model.used[side, g]) for side in (0, 1))
    )
    return Picked((tuple(sides[0]), tuple(sides[1])), shared)


TIERS = {"fewest-gpus": ["gpus"], "throughput": ["peak"], "cheapest": ["price"]}


def best_of(columns: ClusterColumns | None, clock: Clock, rules: Sequence[str] | None = None) -> FoundCluster:
    """The best pools."""
    if columns is None:
        return FoundCluster("infeasible")
    problem = columns.problem
    rules = rules_on(problem) if rules is None else rules
    held: list[tuple[str, int]] = []
    picked: Picked | None = None
    bound: int | None = None
    for tier in [*TIERS.get(problem.objective.preset, []), "value", "gpus", "spread"]:
        model = ClusterModel(columns, rules)
        if not model.possible:
            return FoundCluster("infeasible")
        for name, value in held:
            if name == "peak":
                model.model.add(model.peak >= value)
            else:
                model.model.add(getattr(model, name) <= value)
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
