"""The best pair of pools by the preset's tiers, proved; or that there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.results.answer import Status
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import new_solver, outcome_of, solve_stoppable
from optimizer.search.pools.cluster_capacity import MostRate
from optimizer.search.pools.model import RATE_STEPS, PoolColumns, PoolsModel, rule_ids
from optimizer.search.pools.one_group import PoolsOnOneGroup, large
from optimizer.search.pools.options import SPACINGS
from optimizer.search.pools.tables import PoolTables

LARGEST_ROWS = 400_000
"""Of more not every number of instances is tabulated."""
MOST_ROWS = 12_000
"""Rows of both pools in one model of pairs; more are searched as one group of an inventory (``one_group``)."""


@dataclass(frozen=True, slots=True)
class RowPair:
    """A row of each pool."""

    prefill: int
    decode: int
    together: bool


@dataclass(frozen=True, slots=True)
class FoundPools:
    """What a search found."""

    outcome: Status
    pair: RowPair | None = None
    bound_ns: int | None = None
    best_rate: int | None = None
    """Thousandths of a request/s (``capacity``)."""


def active_rules(problem: Problem) -> tuple[str, ...]:
    """Rules that are on."""
    return tuple(rule for rule in rule_ids(problem) if rule not in problem.search.disabled_rules)


def columns_of(problem: Problem, fixed: FixedPools = FixedPools()) -> PoolColumns | None:
    """Columns of every row; None where no pair can be built at all."""
    for spacing in SPACINGS:
        tables = PoolTables(problem, fixed, spacing=spacing)
        if len(tables.prefill) + len(tables.decode) <= LARGEST_ROWS:
            break
    return PoolColumns(tables) if len(tables.prefill) and len(tables.decode) else None


def _run(model: PoolsModel, clock: Clock, minimise: Any = None) -> tuple[Status, Any]:
    if minimise is not None:
        model.model.minimize(minimise)
    solver = new_solver()
    if clock.left_s is not None:
        solver.parameters.max_time_in_seconds = clock.left_s
    status, _ = solve_stoppable(solver, model.model, None, clock.ctrl_c)
    return outcome_of(status, model.model), solver


def feasible(columns: PoolColumns | None, rules: Sequence[str], clock: Clock | None = None) -> bool | None:
    """Whether some pair keeps the given rules; None: not known."""
    if columns is None:
        return False
    many = large(columns.tables.problem, columns, columns.tables.fixed, MOST_ROWS)
    if many is not None:
        return many.keeps(rules, clock or Clock())
    outcome, _ = _run(PoolsModel(columns, rules), clock or Clock())
    return None if outcome == "unknown" else outcome != "infeasible"


def best_keeping(columns: PoolColumns, rules: Sequence[str], clock: Clock) -> RowPair | None:
    """The pair of the least objective that keeps some rules; None: none was found."""
    many = large(columns.tables.problem, columns, columns.tables.fixed, MOST_ROWS)
    if many is not None:
        seen = many.best(rules, clock)
        return None if seen.picked is None else RowPair(*many.rows(seen.picked), bool(seen.picked.together))
    model = PoolsModel(columns, rules)
    outcome, solver = _run(model, clock, model.value)
    return None if outcome in ("infeasible", "unknown") else _pair_of(model, solver)


def _pair_of(model: PoolsModel, solver: Any) -> RowPair:
    return RowPair(solver.value(model.row[0]), solver.value(model.row[1]), bool(solver.value(model.together)))


def best(problem: Problem, fixed: FixedPools, columns: PoolColumns | None, clock: Clock) -> FoundPools:
    """The best pair; ``columns`` are those of the problem."""
    if columns is None:
        return FoundPools("infeasible")
    rules = active_rules(problem)
    many = large(problem, columns, fixed, MOST_ROWS)
    if many is not None:
        return _of_many(many, rules, problem.objective.preset, clock)
    held: list[tuple[str, int]] = []
    rate: int | None = None
    preset = problem.objective.preset
    if preset == "capacity":
        rate, outcome = most_rate(problem, fixed, columns, clock)
        if rate is None:
            return FoundPools(outcome)
    proved = True
    pair: RowPair | None = None
    bound: int | None = None
    tiers = {"fewest-gpus": ["gpus"], "cheapest": ["gpus"], "throughput": ["peak"]}.get(preset, [])
    for tier in [*tiers, "value", "gpus", "spread"]:
        model = _model(problem, fixed, columns, rules, rate)
        for name, value in held:
            _hold(model, name, value)
        goal = -model.peak if tier == "peak" else getattr(model, tier)
        outcome, solver = _run(model, clock, goal)
        if outcome == "infeasible":
            return FoundPools("infeasible")
        if outcome == "unknown":
            return FoundPools("feasible" if pair else "unknown", pair, bound, rate)
        pair = _pair_of(model, solver)
        if tier == "value":
            bound = int(solver.best_objective_bound)
        if outcome != "optimal":
            return FoundPools("feasible", pair, bound, rate)
        held.append((tier, int(solver.value(model.peak if tier == "peak" else goal))))
        proved = proved and outcome == "optimal"
    return FoundPools("optimal", pair, None, rate)


def _of_many(many: PoolsOnOneGroup, rules: Sequence[str], preset: str, clock: Clock) -> FoundPools:
    most = MostRate("optimal")
    if preset == "capacity":
        most = many.most_rate(rules, clock)
        if most.outcome in ("infeasible", "unknown"):
            return FoundPools(most.outcome)
    seen = many.best(rules, clock)
    if seen.picked is None:
        return FoundPools("unknown" if most.steps and seen.outcome == "infeasible" else seen.outcome)
    outcome: Status = seen.outcome if most.outcome == "optimal" else "feasible"
    first, second = many.rows(seen.picked)
    pair = RowPair(first, second, bool(seen.picked.together))
    return FoundPools(outcome, pair, seen.bound_ns, most.steps or None)


def _model(
    problem: Problem, fixed: FixedPools, columns: PoolColumns, rules: Sequence[str], rate: int | None
) -> PoolsModel:
    model = PoolsModel(columns, rules)
    if rate is not None:
        _also_at(model, problem, fixed, rate)
    return model


def _hold(model: PoolsModel, name: str, value: int) -> None:
    if name == "peak":
        model.model.add(model.peak >= value)
    else:
        model.model.add(getattr(model, name) <= value)


def at_rate(problem: Problem, steps: int) -> Problem:
    """The problem with another rate, in thousandths of a request/s."""
    workload = problem.workload.model_copy(update={"requests_per_s": steps / RATE_STEPS})
    return problem.model_copy(update={"workload": workload})


def capacity_rules(problem: Problem) -> tuple[str, ...]:
    """Rules that ``max_request_rate`` keeps: those of the load, without losses."""
    return tuple(rule for rule in active_rules(problem) if not rule.startswith("survive_"))


def _also_at(model: PoolsModel, problem: Problem, fixed: FixedPools, steps: int) -> None:
    """The same rows keep the rules of the load at another rate too."""
    other = columns_of(at_rate(problem, steps), fixed)
    assert other is not None
    own = model.columns
    model.columns, model.tables, model.problem = other, other.tables, other.tables.problem
    for rule in capacity_rules(problem):
        if rule not in ("gpu_count", "placement"):
            model._post(rule)
    model.columns, model.tables, model.problem = own, own.tables, problem


def most_rate(problem: Problem, fixed: FixedPools, columns: PoolColumns, clock: Clock) -> tuple[int | None, Status]:
    """The largest rate in thousandths at which some pair that keeps every rule at the demand keeps those of the load."""
    rules = active_rules(problem)

    def carried(steps: int) -> bool | None:
        model = PoolsModel(columns, rules)
        if steps:
            _also_at(model, problem, fixed, steps)
        outcome, _ = _run(model, clock)
        return None if outcome == "unknown" else outcome != "infeasible"

    some = carried(0)
    if not some:
        return None, "unknown" if some is None else "infeasible"
    low, high = 0, max(1, int(problem.workload.requests_per_s * RATE_STEPS))
    while True:
        fits = carried(high)
        if fits is None:
            return None, "unknown"
        if not fits:
            break
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        fits = carried(middle)
        if fits is None:
            return None, "unknown"
        low, high = (middle, high) if fits else (low, middle)
    return low, "optimal"
