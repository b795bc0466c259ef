"""What an answer about several models on one inventory says: what each gets, what is left, and what moving the border costs."""

from __future__ import annotations

import time

from optimizer.explain.common.numbers import amount, count, listing, milliseconds
from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.several import WEIGHT_STEPS
from optimizer.results.cluster_models import ClusterModelsAnswer, GroupExchange, InventoryShare
from optimizer.search.common.clock import Clock
from optimizer.search.inventory.plan import Plan, parts_of
from optimizer.search.several.cluster_model import SharedMaster
from optimizer.search.several.cluster_solve import SharedFound, SharedSolver, SharedSplit

TIGHT = 0.1
"""Rules with less than this share of their limit to spare are named."""
UNTOLD = ("gpus_free", "pool_share")
ONE_WITHIN_S = 2.0
"""Seconds for one question beside the answer: what takes longer is left out, and the others have their turn."""


def sentences(problem: ClusterModelsProblem, answer: ClusterModelsAnswer) -> list[str]:
    """What each model gets, and what is left."""
    said = [_gets(share) for share in answer.models]
    left = [f"{one.left_gpus:,} on {one.group}" for one in answer.left if one.left_gpus]
    free = sum(one.left_gpus for one in answer.left)
    said.append(
        f"Left over: {count(free, 'GPU')} of {problem.gpus:,} ({listing(left[:4])}{' and more' if left[4:] else ''})."
        if free
        else f"All {problem.gpus:,} GPUs are in use."
    )
    if answer.objective is not None:
        terms = listing([
            f"{share.name} {milliseconds(answer.objective.terms[share.name])}"
            + (f" (weight {share.weight:g})" if share.weight != 1 else "")
            for share in answer.models
        ])  # fmt: skip
        total = milliseconds(answer.objective.value)
        said.append(f"Weighted sum of expected times a request over all failure states: {total}: {terms}.")
    if answer.price_per_hour is not None:
        said.append(f"The GPUs in use cost {answer.price_per_hour:,.2f} an hour.")
    for share in answer.models:
        said += _close(share)
    return said


def _gets(share: InventoryShare) -> str:
    answer = share.answer
    demand = next(rule.limit for rule in answer.rules if rule.id == "demand")
    gpus = listing([f"{number:,} of {group}" for group, number in share.gpus_by_group.items()])
    pools = listing([f"{pool.share:.0%} on {pool.where}" for pool in answer.pools]) if len(answer.pools) > 1 else ""
    carried = sum(pool.capacity * pool.instances for pool in answer.pools)
    return (
        f"{share.name}: {answer.label}, {count(answer.gpus_used, 'GPU')} ({gpus}); carries {demand:g} requests/s"
        f"{f' ({pools})' if pools else ''} and up to {carried:,.4g} within all its limits, "
        f"{milliseconds(answer.request_mean_ms or 0.0)} a request with everything up."
    )


def _close(share: InventoryShare) -> list[str]:
    found = []
    for rule in share.answer.rules:
        if not rule.enabled or rule.slack is None or not isinstance(rule.limit, int | float) or rule.id in UNTOLD:
            continue
        if rule.holds and rule.limit and rule.slack <= TIGHT * abs(rule.limit):
            figures = f"{amount(rule.actual, rule.unit)} of {amount(rule.limit, rule.unit)}"
            found.append(f"{share.name}: rule {rule.id} is close: {figures}.")
    return found


def exchanges(problem: ClusterModelsProblem, solver: SharedSolver, clock: Clock) -> tuple[GroupExchange, ...]:
    """For every model and group the best split in which it has more GPUs of it, and the best in which it has fewer."""
    split = solver.best
    if split is None or len(problem.models) < 2:
        return ()
    found: list[GroupExchange] = []
    now = gpus_of(problem, solver, split)
    for number, served in enumerate(problem.models):
        for index, group in enumerate(problem.groups):
            for direction in ("more", "fewer"):
                mine = now[served.name].get(group.name, 0)
                if (direction == "fewer" and not mine) or (direction == "more" and mine == group.gpus):
                    continue
                if clock.over:
                    return tuple(found)

                def adjust(
                    master: SharedMaster,
                    number: int = number,
                    index: int = index,
                    mine: int = mine,
                    direction: str = direction,
                ) -> None:
                    gpus = master.gpus_on(number, index)
                    master.model.add(gpus >= mine + 1 if direction == "more" else gpus <= mine - 1)

                other_solver = solver.beside(adjust, _turn(clock))
                other = other_solver.run()
                if other.status in ("optimal", "infeasible"):
                    found.append(_exchange(problem, split, other_solver, other, served.name, group.name, direction))
    return tuple(found)


def _turn(clock: Clock) -> float:
    """When a question ends, of the monotonic clock."""
    end = time.monotonic() + ONE_WITHIN_S
    return end if clock.deadline is None else min(end, clock.deadline)


def gpus_of(problem: ClusterModelsProblem, solver: SharedSolver, split: SharedSplit) -> dict[str, dict[str, int]]:
    """Name of a model → name of a group → GPUs."""
    return {
        served.name: _gpus(problem, solver, number, plan)
        for number, (served, plan) in enumerate(zip(problem.models, split.plans, strict=True))
    }


def _gpus(problem: ClusterModelsProblem, solver: SharedSolver, number: int, plan: Plan) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in plan.entries:
        for group, part in parts_of(solver.candidates[number], entry):
            name = problem.groups[group].name
            found[name] = found.get(name, 0) + part.gpus * entry.count
    return found


def _exchange(
    problem: ClusterModelsProblem, split: SharedSplit, solver: SharedSolver, other: SharedFound,
    model: str, group: str, direction: str,
) -> GroupExchange:  # fmt: skip
    if other.best is None:
        said = f"No split with {direction} GPUs of {group} for {model} keeps every rule."
        return GroupExchange(model, group, direction, {}, None, {}, said)
    gpus = gpus_of(problem, solver, other.best)
    more = (other.best.goal(problem) - split.goal(problem)) / WEIGHT_STEPS
    own = {
        served.name: float(then.whole_ms - now.whole_ms)
        for served, then, now in zip(problem.models, other.best.placed, split.placed, strict=True)
    }
    there = listing([
        f"{name} {listing([f'{number:,} of {where}' for where, number in held.items()])}" for name, held in gpus.items()
    ])  # fmt: skip
    changed = listing([f"{name} {_signed(value)}" for name, value in own.items() if value]) or "no model any time"
    said = (
        f"With {direction} GPUs of {group} for {model}, best is {there}: {changed}; the weighted sum changes by "
        f"{_signed(more)}."
    )
    return GroupExchange(model, group, direction, gpus, more, own, said)


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{milliseconds(abs(value))}"


def one_more_node(problem: ClusterModelsProblem, split: SharedSplit, clock: Clock) -> list[str]:
    """What a node more of each group would be worth; groups in several racks, and what there was no time for, are left out."""
    found = []
    for index, group in enumerate(problem.groups):
        if clock.over or group.racks:
            continue
        groups = list(problem.groups)
        groups[index] = group.model_copy(update={"nodes": group.nodes + 1})
        more = problem.with_groups(tuple(groups))
        other = SharedSolver(more, deadline=_turn(clock), ctrl_c=clock.ctrl_c).run()
        if other.status != "optimal" or other.best is None:
            continue
        gained = (split.goal(problem) - other.best.goal(more)) / WEIGHT_STEPS
        found.append(
            f"One node more of {group.name} would take {milliseconds(gained)} off the weighted sum."
            if gained > 0
            else f"One node more of {group.name} would change nothing by this objective."
        )
    return found


def limits_of(problem: ClusterModelsProblem) -> tuple[str, ...]:
    """What was not considered."""
    return (
        "Models share no GPU. Each instance stands on one group; pipelines over two are taken only where nothing else keeps the rules.",
        "Placements are spread as evenly as was found, each model for itself; shares of the load are whole thousandths.",
    )
