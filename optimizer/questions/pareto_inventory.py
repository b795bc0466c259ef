"""The trade-off of an inventory by ε-constraint: the proved best plan for each bound on what is served, on GPUs, or on price."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from optimizer.explain.common.pareto import axis_value
from optimizer.facts.demand import FEWEST
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.pareto_served import ServedChain, served_chain
from optimizer.results.front import Axis, FrontPoint, ParetoFront, apart, apart_words
from optimizer.search.uniform.solve import Progress

if TYPE_CHECKING:
    from optimizer.search.inventory.candidates import Candidates
    from optimizer.search.inventory.found import Placed
    from optimizer.search.inventory.solve import InventorySolver

PRESETS = {"balanced": "expected time over failure states", "latency": "mean time with everything up"}
Bound = Literal["gpus", "price"]
SERVED_WITHIN_S = 30.0
"""Without a time limit, seconds for steps of what is served: plans that serve too little are set aside one by one."""


@dataclass
class _Search:
    """What the bounds of one front share."""

    problem: InventoryProblem
    axis: Bound
    deadline: float | None
    progress: Callable[[Progress], None] | None
    started: float
    stopped: bool = False
    skipped: bool = False
    checks: int = 0

    def left(self) -> bool:
        return not self.stopped and (self.deadline is None or time.monotonic() < self.deadline)

    def say(self, phase: str) -> None:
        if self.progress is not None:
            self.progress(Progress(time.monotonic() - self.started, phase=phase))


def inventory_front(
    problem: InventoryProblem,
    axes: tuple[Axis, ...],
    most: int,
    time_limit_s: float | None,
    progress: Callable[[Progress], None] | None,
) -> ParetoFront:
    """The front of an inventory; see ``pareto``.

    Raises:
        ProblemError: price is an axis and a group states none; an unknown rule is switched off.
    """
    from optimizer.questions.inventory import refuse_unknown_rules
    from optimizer.search.inventory.candidates import Candidates
    from optimizer.search.inventory.solve import InventorySolver

    refuse_unknown_rules(problem)
    unpriced = [group.name for group in problem.groups if group.price_per_gpu_hour is None]
    if "price" in axes and unpriced:
        raise ProblemError("--axes", f"price needs price_per_gpu_hour of every group; {unpriced[0]} states none")
    started = time.monotonic()
    deadline = None if time_limit_s is None else started + time_limit_s
    search = _Search(problem, "price" if "price" in axes else "gpus", deadline, progress, started)
    search.say("looking for the least " + ("price" if search.axis == "price" else "GPUs"))
    candidates = Candidates(problem)
    candidates.admit()
    solver = InventorySolver(problem, candidates, deadline=deadline)
    try:
        least = solver.any(search.axis)
    except KeyboardInterrupt:
        return ParetoFront(problem.name, axes, (), "unknown", None, ("Interrupted before any plan was found.",), 0, ())
    if least.best is None:
        if least.status == "infeasible":
            said = (
                "No set of instances keeps every rule, so there is no front; optimizer solve says which rules conflict."
            )
            return ParetoFront(problem.name, axes, (), "infeasible", 0, (said,), 0, ())
        said = "The time limit was reached before any plan was found; allow more time."
        return ParetoFront(problem.name, axes, (), "unknown", None, (said,), 0, ())
    low = used(problem, candidates, least.best, search.axis)
    points: list[FrontPoint] = []
    wrong: list[str] = []
    served = None
    if {"latency", "availability"} <= set(axes):
        served = _served(search, candidates, most, wrong)
        points += served.points
        search.stopped = search.stopped or (served.stopped and not search.left())
    settled = served is not None and served.complete and len(axes) == 2
    goals = [] if settled else _goals(problem, axes)
    for goal in goals:
        points += _chain(search, goal, candidates, low, max(2, most // len(goals)), wrong)
    found = _undominated(points, axes)
    kept = apart(
        [[point.not_served if axis == "availability" else axis_value(point, axis) for axis in axes] for point in found],
        axes,
    )
    front = [found[number] for number in kept]
    left_out = [apart_words(len(found) - len(front))] if len(front) < len(found) else []
    complete = settled or (search.left() and all(point.proved for point in front))
    return ParetoFront(
        problem=problem.name,
        axes=axes,
        points=tuple(front),
        status="proved" if complete else "incomplete" if front else "unknown",
        on_front=len(front) if settled else None,
        proof=(*_said(search, goals, complete, served), *left_out),
        checks=search.checks,
        mismatches=tuple(wrong),
    )


def _goals(problem: InventoryProblem, axes: tuple[Axis, ...]) -> list[InventoryProblem]:
    """What is minimised under each bound: the stated weights, and the mean time where latency is an axis."""
    stated = problem.objective
    if stated.preset in ("throughput", *FEWEST):
        stated = stated.model_copy(update={"preset": "balanced"})
    goals = [problem.model_copy(update={"objective": stated})]
    if "latency" in axes and stated.preset != "latency":
        goals.append(problem.model_copy(update={"objective": type(stated)(preset="latency")}))
    return goals


def _chain(
    search: _Search, goal: InventoryProblem, candidates: Candidates, low: int, most: int, wrong: list[str]
) -> list[FrontPoint]:
    """Plans for one goal: without a bound, then each with less than the plan before, down to the least there is."""
    from optimizer.search.inventory.solve import InventorySolver

    found: list[FrontPoint] = []
    words = PRESETS.get(goal.objective.preset, PRESETS["balanced"])
    limit: int | None = None
    offered = candidates.again(goal)
    while search.left() and (limit is None or limit >= low) and len(found) < most:
        asked = None if limit is None else (search.axis, limit)
        search.say(f"proving plan {len(found) + 1} (least {words})")
        solver = InventorySolver(goal, offered, deadline=search.deadline, most=asked)
        try:
            outcome = solver.run()
            if outcome.best is None:
                search.stopped = search.stopped or outcome.status != "infeasible"
                break
            point, used = _point(search, goal, offered, solver, outcome.best, outcome.status == "optimal", limit, wrong)
        except KeyboardInterrupt:
            search.stopped = True
            break
        found.append(point)
        if outcome.status != "optimal":
            search.stopped = True
            break
        step = max(1, -(-(used - low) // max(1, most - len(found))))
        search.skipped = search.skipped or step > 1
        limit = used - step
    if found and limit is not None and limit >= low and search.left():
        search.skipped = True
    return found


def _point(
    search: _Search,
    goal: InventoryProblem,
    candidates: Candidates,
    solver: InventorySolver,
    best: Placed,
    proved: bool,
    limit: int | None,
    wrong: list[str],
) -> tuple[FrontPoint, int]:
    """The plan valued under the stated objective, with what it uses of the bounded axis."""
    from optimizer.search.inventory.answer import with_plan
    from optimizer.search.inventory.candidates import MICRO
    from optimizer.search.inventory.valuation import Valuation
    from optimizer.verify.inventory import verify_inventory

    stated = search.problem
    solver.valuation = Valuation(stated, candidates)
    best = replace(best, value=solver.valuation.value(best.plan, best.split, best.site))
    answer = with_plan(stated, candidates, solver, best)
    verification = verify_inventory(stated, answer, exhaustive=False)
    search.checks += verification.checks
    wrong += [f"{answer.label}: {m.what}: {m.expected}, not {m.actual}" for m in verification.mismatches]
    point = FrontPoint(
        request_mean_ms=best.split.mean_ms,
        availability=best.value.availability,
        not_served=1 - best.value.availability,
        gpus=answer.gpus_used,
        price_per_hour=answer.price_per_hour,
        strategy=None,
        label=answer.label,
        objective_ms=best.value.exact_ms,
        proved=proved,
        verified=verification.passed,
        bound_gpus=limit if search.axis == "gpus" else None,
        bound_price=limit / MICRO if search.axis == "price" and limit is not None else None,
    )
    return point, used(stated, candidates, best, search.axis)


def used(problem: InventoryProblem, candidates: Candidates, placed: Placed, axis: Bound) -> int:
    """GPUs, or price per hour in millionths, of a plan."""
    from optimizer.search.inventory.master import price_micro
    from optimizer.search.inventory.plan import parts_of

    if axis == "gpus":
        return placed.plan.gpus(candidates)
    return sum(
        price_micro(problem, group) * part.gpus * entry.count
        for entry in placed.plan.entries
        for group, part in parts_of(candidates, entry)
    )


def _undominated(points: list[FrontPoint], axes: tuple[Axis, ...]) -> list[FrontPoint]:
    """Points that no other found beats, one of equal ones, in order of the axes."""
    valued = sorted(
        ((tuple(axis_value(point, axis) for axis in axes), point) for point in points),
        key=lambda pair: (pair[0], not pair[1].proved, pair[1].gpus),
    )
    kept: list[tuple[tuple[float, ...], FrontPoint]] = []
    for values, point in valued:
        if not any(all(a <= b for a, b in zip(other, values, strict=True)) for other, _ in kept):
            kept.append((values, point))
    return [point for _, point in kept]


def _served(search: _Search, candidates: Candidates, most: int, wrong: list[str]) -> ServedChain:
    """Steps of what is served, for as long as the time limit or the patience for them lasts."""
    end = search.deadline if search.deadline is not None else time.monotonic() + SERVED_WITHIN_S

    def point(
        goal: InventoryProblem, offered: Candidates, solver: InventorySolver, best: Placed, proved: bool
    ) -> FrontPoint:
        return _point(search, goal, offered, solver, best, proved, None, wrong)[0]

    chain = served_chain(search.problem, candidates, most, lambda: end, point, search.say)
    if chain.stopped and time.monotonic() < end:
        search.stopped = True  # Ctrl-C, or a plan that could not be settled
    return chain


def _said(search: _Search, goals: list[InventoryProblem], complete: bool, served: ServedChain | None) -> list[str]:
    what = "GPUs" if search.axis == "gpus" else "price per hour"
    said = []
    if served is not None and served.points:
        said.append(
            "Proved step by step: no plan that serves at least as much as a point has a mean time below its whole millisecond"
            + (
                ", and nothing serves more than the last one (by 10⁻¹² of the requests)."
                if served.complete
                else "; whether plans serve more than the last such point was not settled."
            )
        )
    if goals:
        goal = " and the ".join(dict.fromkeys(PRESETS.get(g.objective.preset, PRESETS["balanced"]) for g in goals))
        said.append(
            f"Proved of each {'further ' if said else ''}point marked so: no plan with at most its bound on {what} has a smaller "
            f"value, in whole milliseconds, of what was minimised ({goal}, one after the other)."
        )
    said.append("Mean time, availability, GPUs and price of each plan are exact values.")
    if goals:
        said.append("Points between these may exist" + ("." if served is not None else ", and points that serve more."))
    if search.skipped:
        said.append(f"Bounds on {what} were tried in steps; more --points makes them smaller.")
    if not complete:
        said.append("The search was stopped before every bound was tried; the points shown stand, others are missing.")
    return said
