"""From a split of an inventory to what people read: what every model gets, with pools, places and judged rules; the weighted sum."""

from __future__ import annotations

from dataclasses import replace

from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.several import WEIGHT_STEPS
from optimizer.results.answer import ObjectiveResult, model_read
from optimizer.results.cluster_models import GroupLeft, InventoryShare
from optimizer.results.inventory import InventoryAnswer
from optimizer.search.inventory.answer import with_plan
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.several.cluster_solve import SharedSolver, SharedSplit


def shares_of(problem: ClusterModelsProblem, solver: SharedSolver, split: SharedSplit) -> tuple[InventoryShare, ...]:
    """What each model gets; the answer of each claims a plan and nothing about better ones, and is not verified yet."""
    found = []
    for served, mine, placed in zip(problem.models, solver.candidates, split.placed, strict=True):
        own = with_plan(served.problem, mine, InventorySolver(served.problem, mine), placed)
        answer = replace(own, model=model_read(served.problem.model))
        found.append(InventoryShare(served.name, served.weight, answer))
    return tuple(found)


def objective_of(
    problem: ClusterModelsProblem, shares: tuple[InventoryShare, ...], bound: int | None
) -> ObjectiveResult | None:
    """The weighted sum with its terms by model, beside a proved bound in ms times thousandths (the value itself when None)."""
    values = [value_ms(share.answer) for share in shares]
    if not values or None in values:
        return None
    steps = [served.weight_steps * round(value or 0) for served, value in zip(problem.models, values, strict=True)]
    total = sum(steps)
    proved = total if bound is None else min(bound, total)
    return ObjectiveResult(
        value=total / WEIGHT_STEPS,
        bound=proved / WEIGHT_STEPS,
        gap=(total - proved) / max(abs(total), 1),
        unit="ms",
        terms={share.name: one / WEIGHT_STEPS for share, one in zip(shares, steps, strict=True)},
    )


def value_ms(answer: InventoryAnswer) -> float | None:
    """The objective of one model alone, in whole ms."""
    return None if answer.objective is None else answer.objective.value


def left_of(problem: ClusterModelsProblem, shares: tuple[InventoryShare, ...]) -> tuple[GroupLeft, ...]:
    """GPUs of every group that no model takes."""
    taken: dict[str, int] = {}
    for share in shares:
        for group, gpus in share.gpus_by_group.items():
            taken[group] = taken.get(group, 0) + gpus
    return tuple(GroupLeft(group.name, group.gpus, group.gpus - taken.get(group.name, 0)) for group in problem.groups)


def price_of(shares: tuple[InventoryShare, ...]) -> float | None:
    """Price per hour of all GPUs in use; None where one is not known."""
    prices = [share.answer.price_per_hour for share in shares]
    known = [price for price in prices if price is not None]
    return sum(known) if known and len(known) == len(prices) else None
