"""``check`` of a whole proposed placement of instances on an inventory: every rule with its slack, and the optimum beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from optimizer.explain.common.numbers import amount, count, listing, milliseconds
from optimizer.explain.inventory.answer import behind, beside_sentence
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.proposal import Proposal
from optimizer.questions.inventory import check_inventory, refuse_unknown_rules, solve_inventory
from optimizer.results.answer import Conflict, RuleResult, Verification, model_read, with_verification
from optimizer.results.inventory import InventoryAnswer, instance_label
from optimizer.search.inventory.answer import (
    answer_with,
    answer_without,
    losses_of,
    placement_of,
    pools_of,
    rules_of,
)
from optimizer.search.inventory.candidate import MICRO
from optimizer.search.inventory.found import InventoryFound, Placed
from optimizer.search.inventory.proposed import ProposedPlan, ShapeNotAllowed, clashes, proposed_plan
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.inventory.states import TooManyStatesError

Progress = Callable[[Any], None]
_NO_LOAD = 1e-3
"""Requests/s at which a shape is judged by itself."""


def check_placement(
    problem: InventoryProblem,
    proposal: Proposal,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> InventoryAnswer:
    """Judge the instances that a person proposes: their shapes, where they stand, and their shares of the load.

    Args:
        problem: the inventory.
        proposal: from ``reading.proposal``; formats, layer splits, GPUs, places and shares that it leaves out are chosen.
        time_limit_s: of the search for the optimum beside it.
        progress: called while that runs.

    Returns:
        ``feasible`` True or False with the rules broken, and the ``optimum`` without the proposal. Status ``optimal`` only where
        nothing is better by a whole millisecond.

    Raises:
        ProblemError: a group or node is not there, or parts of the proposal contradict each other.
    """
    refuse_unknown_rules(problem)
    try:
        asked = proposed_plan(problem, proposal)
    except ShapeNotAllowed as refused:
        return _shape_refused(problem, refused, time_limit_s, progress)
    answer = judged_instances(problem, asked)
    optimum = solve_inventory(problem, time_limit_s=time_limit_s, progress=progress, ranges=False, explain="nothing")
    return _beside(problem, answer, optimum)


def judged_instances(problem: InventoryProblem, asked: ProposedPlan) -> InventoryAnswer:
    """The answer about the proposal itself, verified."""
    from optimizer.verify.inventory import verify_inventory

    candidates, plan = asked.candidates, asked.plan
    nothing = answer_without(problem, candidates, InventoryFound("infeasible", None, None, False, 0, 0.0, True))
    if asked.stands is None:
        said = f"No room: {count(sum(e.count for e in plan.entries), 'instance')} of these shapes cannot stand on the free GPUs."
        return _refused(nothing, "gpus_free", said, "the proposal names no places, and the search's placing found none")
    wrong = clashes(problem, asked.stands)
    if wrong:
        return _refused(nothing, "gpus_free", " ".join(wrong[:5]), "GPUs were counted once")
    split = asked.split
    if split is None:
        carried = sum(candidates.of_place(e.place)[e.candidate].capacity * e.count for e in plan.entries) / MICRO
        said = (
            f"Together they carry {carried:,.4g} requests/s within every limit, less than the "
            f"{problem.workload.requests_per_s:g} that arrive."
        )
        split = _proportional(asked, problem)
        nothing = replace(nothing, explanation=(said,))
    site = asked.valuation.site(plan, asked.stands)
    solver = InventorySolver(problem, candidates)
    over = any(
        rate > candidates.group_types[kind].candidates[position].slots_capacity / MICRO
        for (kind, position), rate in zip(plan.families(candidates), split.rates, strict=True)
    )
    try:
        if over:
            answer = _overloaded(problem, asked, Placed(plan, asked.stands, split, site, None), nothing)  # type: ignore[arg-type]
        else:
            value = asked.valuation.value(plan, split, site)
            placed = Placed(plan, asked.stands, split, site, value)
            found = InventoryFound("feasible", placed, 0, False, 0, 0.0, True)
            answer = answer_with(problem, candidates, solver, found, placed)
    except TooManyStatesError:
        said = "There are too many failure states to work through, so its value and its losses are not known."
        return replace(nothing, status="unknown", explanation=(said,))
    broken = [rule for rule in answer.rules if rule.enabled and not rule.holds]
    if broken:
        conflicts = (Conflict(tuple(rule.id for rule in broken), " ".join(_broken(rule) for rule in broken), True),)
        answer = replace(answer, status="infeasible", conflicts=conflicts)
    verification = verify_inventory(problem, answer, proposed=True)
    misplaced = [one for one in verification.mismatches if one.what.startswith("placement.")]
    if misplaced and len(misplaced) == len(verification.mismatches):
        said = " ".join(
            f"{one.what.removeprefix('placement.')}: {one.expected} needed, found {one.actual}."
            for one in misplaced[:5]
        )
        return _refused(nothing, "placement", said, "the rules of standing together are the verifier's")
    answer = with_verification(replace(answer, explanation=()), verification)
    return replace(answer, model=model_read(problem.model), assumed=problem.assumed)


def _proportional(asked: ProposedPlan, problem: InventoryProblem) -> Any:
    """Shares by capacity, where no shares keep every instance within its own."""
    from optimizer.search.inventory.valuation import SHARES, LoadSplit

    candidates, plan = asked.candidates, asked.plan
    families, counts = plan.families(candidates), plan.family_counts(candidates)
    most = [
        candidates.group_types[kind].candidates[p].capacity * n for (kind, p), n in zip(families, counts, strict=True)
    ]
    parts = [max(1, round(one / sum(most) * SHARES)) for one in most]
    parts[parts.index(max(parts))] += SHARES - sum(parts)
    demand = problem.workload.requests_per_s
    rates = tuple(part * demand / SHARES / n for part, n in zip(parts, counts, strict=True))
    return LoadSplit(tuple(parts), rates, 0.0)


def _overloaded(
    problem: InventoryProblem, asked: ProposedPlan, placed: Placed, nothing: InventoryAnswer
) -> InventoryAnswer:
    """Pools, places and rules of instances that are sent more than fits their slots: they have no mean time."""
    candidates, plan = asked.candidates, asked.plan
    pools = pools_of(problem, candidates, placed)
    losses, used = tuple(losses_of(problem, candidates, placed)), plan.gpus(candidates)
    return replace(
        nothing,
        pools=pools,
        placement=placement_of(problem, candidates, placed, pools),
        gpus_used=used,
        rules=tuple(rules_of(problem, candidates, placed, losses, used)),
        losses=losses,
    )


def _broken(rule: RuleResult) -> str:
    if rule.slack is not None and isinstance(rule.limit, str):
        return f"{rule.sentence} One is sent {amount(-rule.slack, rule.unit)} more."
    return f"{rule.sentence} Here it is {amount(rule.actual, rule.unit)} of {amount(rule.limit, rule.unit)}."


def _refused(answer: InventoryAnswer, rule: str, said: str, how: str) -> InventoryAnswer:
    """A proposal that cannot stand."""
    return replace(
        answer,
        conflicts=(Conflict((rule,), said, True),),
        verification=Verification(True, 1, "not claimed", 0, how),
    )


def _shape_refused(
    problem: InventoryProblem, refused: ShapeNotAllowed, time_limit_s: float | None, progress: Progress | None
) -> InventoryAnswer:
    """Why no instance of a shape can stand where it is proposed, and the optimum."""
    started = time.monotonic()
    answer = shape_refused(problem, refused, time_limit_s, progress)
    left = None if time_limit_s is None else max(1.0, time_limit_s - (time.monotonic() - started))
    optimum = solve_inventory(problem, time_limit_s=left, progress=progress, ranges=False, explain="nothing")
    return _beside(problem, answer, optimum)


def shape_refused(
    problem: InventoryProblem, refused: ShapeNotAllowed, time_limit_s: float | None, progress: Progress | None
) -> InventoryAnswer:
    """Why no instance of a shape can stand where it is proposed: the check of that shape alone, under almost no load."""
    one = refused.instance
    groups = tuple(group for group in problem.groups if group.name in one.groups)
    load = problem.workload.model_copy(update={"requests_per_s": min(_NO_LOAD, problem.workload.requests_per_s)})
    alone = problem.model_copy(
        update={"groups": groups, "domains": (), "survive": (), "power_limits": (), "workload": load}
    )
    fixed = replace(refused.fixed, layers_per_stage=None)
    answer = check_inventory(alone, fixed, time_limit_s=time_limit_s, progress=progress)
    label = f"TP{one.tp}·PP{one.pp}" + (f"·EP{one.ep}" if one.ep > 1 else "")
    where = listing(list(one.groups))
    if answer.feasible is not False:
        split = f" with layers {'+'.join(map(str, one.layers))}" if one.layers else ""
        said = (
            f"{label}{split} on {where} is not among the shapes that are searched, so it is not judged: pipelines over two groups only "
            "where that carries more than instances within the groups, layers split within search.layer_imbalance."
        )
        return replace(
            answer, problem=problem.name, status="unknown", pools=(), placement=None, objective=None, objective_exact_ms=None,
            reliability=None, rules=(), losses=(), feasible=None, optimum=None, explanation=(said,), conflicts=(),
        )  # fmt: skip
    said = f"No instance {label} can stand on {where}, whatever the load. {answer.conflicts[0].sentence if answer.conflicts else ''}"
    return replace(
        answer, problem=problem.name, gpus_free=problem.gpus, repairs=(), explanation=(said.strip(),), optimum=None
    )


def _beside(problem: InventoryProblem, answer: InventoryAnswer, optimum: InventoryAnswer) -> InventoryAnswer:
    """With the optimum, and what is said of both."""
    answer = replace(answer, model=model_read(problem.model), assumed=problem.assumed)
    beside = beside_sentence(problem, answer, optimum)
    if answer.status == "unknown":
        return replace(answer, feasible=None, optimum=optimum)
    if answer.status == "infeasible":
        said = answer.explanation or tuple(conflict.sentence for conflict in answer.conflicts)
        if answer.pools and answer.conflicts:
            said = tuple(dict.fromkeys((*said, *(conflict.sentence for conflict in answer.conflicts))))
        if optimum.objective is not None and answer.objective is not None:
            beside = (
                f"The best for this inventory is {optimum.label}: {milliseconds(optimum.objective.value)} per request."
            )
        return replace(answer, feasible=False, optimum=optimum, explanation=(*said, beside))
    shapes = " + ".join(
        f"{pool.instances} × {instance_label(pool.strategy)} on {pool.where} ({pool.share:.1%} of the requests)"
        for pool in answer.pools
    )
    if answer.objective is None or optimum.objective is None:
        return replace(answer, feasible=True, optimum=optimum, explanation=(shapes, beside))
    value, bound = answer.objective.value, optimum.objective.bound
    level = not behind(problem, answer, optimum) and value <= optimum.objective.value
    if optimum.least is not None:
        # As good as what spends least within the tolerance, or as what has the least objective.
        bound = optimum.least.value_ms
        level = value in (bound, optimum.objective.value)
    best = optimum.status == "optimal" and answer.verification.passed and level
    objective = replace(answer.objective, bound=bound, gap=max(0.0, value - bound) / max(value, 1.0))
    keeps = f"{shapes} keeps every rule: {milliseconds(value)} expected per request."
    said = (*answer.explanation, keeps, beside)
    return replace(
        answer,
        status="optimal" if best else "feasible",
        objective=objective,
        feasible=True,
        optimum=optimum,
        explanation=said,
    )
