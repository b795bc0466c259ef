"""Within ``objective.tolerance``: against every plan valued by itself, and what the verifier says of claims that are not so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.questions.inventory import check_inventory, solve_inventory
from optimizer.reading.inventory_file import SPARING, inventory_from_dict, load_inventory
from optimizer.results.answer import Fixed
from optimizer.search.inventory.solve import InventorySolver
from optimizer.verify.inventory import verify_inventory
from tests.conftest import ROOT, changed
from tests.inventory.every_plan import every_candidate, every_plan, narrowed
from tests.inventory.generate import random_inventory
from tests.inventory.test_spot import market


def balanced(seed: int, *, priced: bool) -> dict[str, Any]:
    values = {**random_inventory(seed), "objective": {"preset": "balanced", "tolerance": 0.03}}
    if priced:
        values["cluster"] = [{**g, "price_per_gpu_hour": 1.0 + 0.7 * i} for i, g in enumerate(values["cluster"])]
    return values


@pytest.mark.parametrize(("seed", "priced"), [(0, False), (2, True), (4, True), (12, False), (16, True)])
def test_least_spent_within_the_tolerance_by_every_plan(seed: int, priced: bool) -> None:
    problem = narrowed(inventory_from_dict(balanced(seed, priced=priced)))
    candidates = every_candidate(problem)
    plans = every_plan(candidates)
    assert plans is not None
    other = InventorySolver(problem, candidates)
    valued = [placed for plan in plans if (placed := other._place(plan)) is not None]
    answer = solve_inventory(problem, ranges=False)
    assert answer.status == "optimal" and answer.verification.passed and answer.objective is not None
    least = min(placed.whole_ms for placed in valued)
    within = [placed for placed in valued if placed.whole_ms <= least * 1.03]
    spent = min(other._spent_by(placed.plan) for placed in within)
    best = min(placed.whole_ms for placed in within if other._spent_by(placed.plan) == spent)
    assert answer.objective.value == best
    assert answer.gpus_used == next(
        p.plan.gpus(candidates) for p in within if other._spent_by(p.plan) == spent and p.whole_ms == best
    )
    assert (answer.least.value_ms if answer.least else best) == least


def test_groups_that_hardly_help_are_left_out_unless_asked_for() -> None:
    problem = load_inventory(ROOT / "problems" / "h100-and-a100.yaml")
    assert problem.objective.tolerance == SPARING
    spared = solve_inventory(problem, ranges=False)
    zero = problem.objective.model_copy(update={"tolerance": 0.0})
    everything = solve_inventory(problem.model_copy(update={"objective": zero}), ranges=False)
    assert spared.least is not None and spared.objective is not None and everything.objective is not None
    assert everything.least is None and spared.least.value_ms == everything.objective.value
    assert spared.gpus_used < everything.gpus_used == spared.least.gpus_used
    assert everything.objective.value < spared.objective.value <= everything.objective.value * (1 + SPARING)
    assert any(f"{spared.least.gpus_used - spared.gpus_used} more GPUs" in sentence for sentence in spared.explanation)

    # A set that is further away than it claims, and one that does not spend less, are refuted.
    assert spared.least is not None
    far = replace(spared, least=replace(spared.least, value_ms=int(spared.objective.value / 1.02)))
    assert not verify_inventory(problem, far, exhaustive=False).passed
    dear = replace(spared, least=replace(spared.least, gpus_used=spared.gpus_used))
    assert not verify_inventory(problem, dear, exhaustive=False).passed


def test_what_has_the_least_objective_is_called_as_good() -> None:
    problem = inventory_from_dict(market(0.05, "balanced", 5.0))
    answer = check_inventory(problem, Fixed(tensor_parallel=1))
    assert answer.optimum is not None and answer.optimum.least is not None and answer.objective is not None
    least = answer.optimum.least.value_ms
    assert (answer.status == "optimal") == (answer.objective.value in (least, answer.optimum.objective.value))  # type: ignore[union-attr]
    assert answer.objective.bound == min(answer.objective.value, least)


@pytest.mark.parametrize("preset", ["cheapest", "fewest-gpus", "throughput"])
def test_a_tolerance_of_what_comes_second_is_refused(preset: str) -> None:
    with pytest.raises(ProblemError, match=r"objective\.tolerance"):
        inventory_from_dict(changed(market(0.05, {"preset": preset, "tolerance": 0.1})))
