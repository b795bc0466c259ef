"""Every plan of a small inventory, each placed and valued by itself: what the search must not miss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.plan import Entry, Plan
from optimizer.search.inventory.solve import InventorySolver

MOST_PLANS = 1_500

FEW = {"tensor_parallel": (1, 2), "pipeline_parallel": (1, 2), "expert_parallel": "off", "layer_imbalance": 0}
LADDER: tuple[dict[str, Any], ...] = (
    {"expert_parallel": "off", "layer_imbalance": 0},
    FEW,
    FEW | {"weight_precision": None, "kv_precision": None},
    FEW | {"weight_precision": None, "kv_precision": None, "tensor_parallel": (1,)},
    FEW | {"weight_precision": None, "kv_precision": None, "tensor_parallel": (2,)},
    FEW | {"weight_precision": None, "kv_precision": None, "pipeline_parallel": (2,)},
    FEW | {"weight_precision": None, "kv_precision": None, "tensor_parallel": (2,), "pipeline_parallel": (1,)},
)
"""Fewer and fewer shapes: what an inventory is made of (racks, zones, groups, losses) stays."""


def every_plan(candidates: Candidates, most: int = MOST_PLANS) -> list[Plan] | None:
    """Every vector of counts within each group's GPUs, not yet packed; None when there are more than ``most``."""
    for kind in candidates.group_types:
        kind.widen()
    keys, uses = [], []
    for index, place in enumerate(candidates.places):
        for position, candidate in enumerate(candidates.of_place(index)):
            keys.append((index, position))
            uses.append([(on, part.gpus) for on, part in zip(place.groups, candidate.parts, strict=True)])
    plans = []
    for counts in _counts(uses, [group.gpus for group in candidates.problem.groups]):
        if any(counts):
            plans.append(Plan(tuple(Entry(i, p, c) for (i, p), c in zip(keys, counts, strict=True) if c)))
        if len(plans) > most:
            return None
    return plans


def _counts(uses: Sequence[Sequence[tuple[int, int]]], left: list[int]) -> Iterator[tuple[int, ...]]:
    """Instances of each candidate that the GPUs left in each group allow."""
    if not uses:
        yield ()
        return
    for count in range(min(left[on] // gpus for on, gpus in uses[0]) + 1):
        rest = list(left)
        for on, gpus in uses[0]:
            rest[on] -= count * gpus
        for others in _counts(uses[1:], rest):
            yield (count, *others)


def every_candidate(problem: InventoryProblem) -> Candidates:
    """With every pipeline over two groups that carries more than its places do otherwise, built whatever its price."""
    candidates = Candidates(problem)
    candidates.admit()
    return candidates


def narrowed(problem: InventoryProblem, to: dict[str, Any] = FEW) -> InventoryProblem:
    """The same with few shapes, so that all plans can be listed."""
    return problem.model_copy(update={"search": problem.search.model_copy(update=to)})


def listed(problem: InventoryProblem, most: int = MOST_PLANS) -> tuple[Candidates, list[Plan] | None]:
    """What may stand in the inventory, or in the first of the ladder whose plans can all be listed, and the plans; None: in none."""
    candidates = every_candidate(problem)
    plans = every_plan(candidates, most)
    for step in LADDER:
        if plans is not None:
            break
        candidates = every_candidate(narrowed(problem, step))
        plans = every_plan(candidates, most)
    return candidates, plans


def compare_with_every_plan(problem: InventoryProblem, most: int = MOST_PLANS) -> None:
    """The optimum against every plan that can be placed; of fewer shapes where there would be too many."""
    candidates, plans = listed(problem, most)
    problem = candidates.problem
    priced = Candidates(problem)
    found = InventorySolver(problem, priced).run()
    if plans is None:
        pytest.skip("too many plans for brute force")
    other = InventorySolver(problem, candidates)
    valued = [placed for plan in plans if (placed := other._place(plan)) is not None]
    if found.best is None:
        assert found.status == "infeasible" and not valued
        return
    assert found.status == "optimal"

    def rank(placed: Any, candidates: Candidates = candidates) -> tuple[float, int]:
        tier = {
            "fewest-gpus": placed.plan.gpus(candidates),
            "cheapest": InventorySolver(problem, candidates)._price_of(placed.plan),
            "throughput": -sum(candidates.of_place(e.place)[e.candidate].peak * e.count for e in placed.plan.entries),
        }.get(problem.objective.preset, 0)
        return (tier, placed.whole_ms)

    best = min(valued, key=rank)
    assert rank(found.best, priced) == rank(best)
    judge = InventorySolver(problem, candidates)
    judge.best = best
    struck = judge._pruned()
    for placed in valued:
        if rank(placed) <= rank(best):
            assert not {(entry.place, entry.candidate) for entry in placed.plan.entries} & struck
    if found.ties_settled:
        spent = min(other._spent_by(placed.plan) for placed in valued if rank(placed) == rank(best))
        assert InventorySolver(problem, priced)._spent_by(found.best.plan) == spent
